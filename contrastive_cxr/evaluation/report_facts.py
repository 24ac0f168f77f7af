"""The predictions of all phases of a run, and the facts of the report that are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import __version__, report
from contrastive_cxr.augment import TTA_SETS
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.engine import Fabric
from contrastive_cxr.evaluation.knn_vote import KnnClassifier
from contrastive_cxr.evaluation.predictions import Outputs, outputs
from contrastive_cxr.metrics import baselines, decisions
from contrastive_cxr.metrics import neighbours as neighbour_metrics
from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_layout import PhaseName

Probabilities = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
Blind = list[tuple[str, Probabilities]]


@dataclass(frozen=True)
class EvaluationContext:
    """The scored images and the training images, and the gallery that votes, if there is one.

    Attributes
    ----------
    data : Dataset
        The scored images.
    reference : Dataset
        The run's own images, with its training part: the same `Dataset`, except for an external test.
    voters : KnnClassifier or None
        A gallery whose vote is scored instead of the classifier.
    """

    recipe: Recipe
    data: Dataset
    reference: Dataset
    voters: KnnClassifier | None = None


@dataclass(frozen=True)
class PhasePredictions:
    """The predictions of the models of a run's phases.

    Attributes
    ----------
    query, train : {phase: Outputs} of the scored and of the training rows
    validation : Outputs or None
        The last phase's predictions on the validation rows, if other rows are scored.
    neighbours : {phase: NeighbourScores} of the scored rows among the training rows
    """

    query: dict[PhaseName, Outputs]
    train: dict[PhaseName, Outputs]
    validation: Outputs | None
    neighbours: dict[PhaseName, neighbour_metrics.NeighbourScores]

    @property
    def final(self) -> PhaseName:
        """The last phase."""
        return list(self.query)[-1]

    @property
    def probabilities(self) -> Probabilities:
        """Probabilities from the last phase, float [n, C]; without a classifier the vote of the neighbours."""
        given = self.query[self.final].probabilities
        return self.neighbours[self.final].votes if given is None else given


def predict_validation(context: EvaluationContext, fabric: Fabric, phase: Path, split: str) -> Outputs | None:
    """The model's predictions on the validation rows; None if these are the scored rows, or there are none."""
    rows = context.reference.rows("val")
    if split == "val" or not len(rows):
        return None
    return outputs(context.recipe, context.reference, fabric, phase, rows, context.recipe.evaluation.tta)


def fit_on_validation(context: EvaluationContext, preds: PhasePredictions) -> Validation | None:
    """Probabilities and labels of the validation rows, on which temperature and thresholds are fitted."""
    if preds.validation is None:
        return None
    probabilities: Probabilities | None = preds.validation.probabilities
    if probabilities is None:
        train = preds.train[preds.final]
        probabilities = neighbour_scores(
            context.recipe, context.reference, context.reference, preds.validation, train
        ).votes
    labels = context.reference.labels[preds.validation.rows]
    return Validation(np.asarray(probabilities, dtype=np.float64), labels)


def build_report_facts(
    context: EvaluationContext, preds: PhasePredictions, kept: Validation | None, blind: Blind, split: str
) -> dict[str, Any]:
    """The facts of `report.json`: scores of the last phase, neighbours of each, baselines on the same rows.

    Parameters
    ----------
    kept : Validation or None
        As from `fit_on_validation`.
    blind : as from `blind_baselines`
    """
    recipe, data, options, final = context.recipe, context.data, context.recipe.evaluation, preds.query[preds.final]
    extras = report.ReportExtras(
        neighbours=preds.neighbours,
        answers={} if context.voters is not None else answers(preds),
        baselines=blind,
        validation=kept,
        targets=options.target.wanted(),
        familiarity=preds.neighbours[preds.final].familiarity() if len(preds.train[preds.final].vectors) else None,
        costs=decisions.matrix(data.classes, options.costs) if options.costs else None,
        tta=tta_of(options.tta, final.probabilities_without_tta),
        last_layers={name: each.last_layer for name, each in preds.query.items() if each.last_layer is not None},
        skipped=data.skipped[["path", "error"]],
        notes=[*notes(recipe, final, split), *data.manifest.notes],
    )
    predictions = report.Predictions(preds.probabilities, data.labels[final.rows], data.patients[final.rows])
    subject = report.Subject(recipe.name, recipe.task, preds.final, split)
    return report.build(subject, predictions, extras, resamples=options.resamples)


def answers(preds: PhasePredictions) -> dict[PhaseName, Probabilities]:
    """Probabilities of the phases that have a classifier, float32 [n, C]."""
    return {name: each.probabilities for name, each in preds.query.items() if each.probabilities is not None}


def notes(recipe: Recipe, final: Outputs, split: str) -> list[str]:
    """Notes for a reader of the scores."""
    found = []
    if final.probabilities is None:
        found.append("No classifier was trained: the predictions are the vote of the nearest training images.")
    if recipe.evaluation.costs and final.card["link"] == "margin":
        found.append("A hinge loss gives scores and not probabilities; the decision by cost uses them, mapped to 0..1.")
    if split == "val":
        found.append("These validation images may also have been used to choose the checkpoint; there is no test part.")
    return found


def tta_of(name: str, probabilities_without_tta: Probabilities | None) -> report.Tta | None:
    """The test-time augmentation for the report; None if there was none."""
    return (
        None
        if probabilities_without_tta is None
        else report.Tta(name, tuple(TTA_SETS[name]), probabilities_without_tta)
    )


def blind_baselines(context: EvaluationContext, rows: Rows) -> Blind:
    """Predictions of the blind baselines on `rows`, fitted on the training rows; empty if the recipe turns them off."""
    recipe, trained = context.recipe, context.reference.rows("train")
    if not recipe.evaluation.baselines or not len(trained):
        return []
    train, scored = material(context.reference, trained), material(context.data, rows)
    labels, classes = context.reference.labels[trained], len(context.data.classes)
    return list(baselines.blind(train, labels, scored, classes, recipe.seed))


def material(data: Dataset, rows: Rows) -> baselines.Material:
    """The inputs of a blind baseline for some rows; pixels are read when they are used."""
    return baselines.Material(Squares(data.images.store, data.images.slots[rows]), data.facts.iloc[rows])


def write_blind(arrays: Path, blind: Blind) -> None:
    """Write `baselines.npy`, float32 [n, K, C], in the order of the report; remove it if there are no baselines."""
    if blind:
        stacked = np.stack([given for _, given in blind], axis=1)
        folders.write_array(arrays / "baselines.npy", stacked.astype(np.float32))
    else:
        (arrays / "baselines.npy").unlink(missing_ok=True)


def read_blind(run: Path, phase: str) -> Blind:
    """The blind baselines of an evaluated run, one row for each scored image; empty if it has none."""
    arrays = run / phase / "arrays" / "baselines.npy"
    names = [each["name"] for each in folders.read_json(run / "report.json")["baselines"]]
    if not names or not arrays.is_file():
        return []
    stacked = folders.read_array(arrays)
    return [(name, stacked[:, place]) for place, name in enumerate(names)]


def write_validation(
    arrays: Path, context: EvaluationContext, preds: PhasePredictions, kept: Validation | None
) -> None:
    """Write `val_probabilities.npy`, `val_labels.npy` and `val_rows.csv`; remove them if there is nothing to write."""
    if kept is None or preds.validation is None:
        for name in ("val_probabilities.npy", "val_labels.npy", "val_rows.csv"):
            (arrays / name).unlink(missing_ok=True)
        return
    folders.write_array(arrays / "val_probabilities.npy", kept.probabilities.astype(np.float32))
    folders.write_array(arrays / "val_labels.npy", kept.labels)
    folders.write_table(arrays / "val_rows.csv", context.reference.manifest_table().iloc[preds.validation.rows])


def neighbour_scores(
    recipe: Recipe, data: Dataset, reference: Dataset, query: Outputs, train: Outputs
) -> neighbour_metrics.NeighbourScores:
    """Neighbours of the scored images of `data` among the training images of `reference`, without the same patient."""
    return neighbour_metrics.scores(
        train.vectors,
        reference.labels[train.rows],
        query.vectors,
        data.labels[query.rows],
        k=recipe.evaluation.k,
        vote=recipe.evaluation.vote,
        classes=len(data.classes),
        **identity(data, reference, query, train),
    )


def identity(data: Dataset, reference: Dataset, query: Outputs, train: Outputs) -> neighbour_metrics.Identity:
    """Numbers and patients of the rows; empty for an external test, whose images and patients are all different."""
    if data is not reference:
        return {}
    return {
        "gallery_ids": train.rows,
        "query_ids": query.rows,
        "gallery_patients": reference.patients[train.rows],
        "query_patients": data.patients[query.rows],
    }


def origin(recipe: Recipe) -> dict[str, str]:
    """`made` of report.json: when the images were scored (UTC, to the minute), by which version, and which images."""
    sources = recipe.data.join or (recipe.data,)
    named = (" in ".join(str(part) for part in (each.source, each.root) if part) for each in sources)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "data": "; ".join(dict.fromkeys(named)),
    }
