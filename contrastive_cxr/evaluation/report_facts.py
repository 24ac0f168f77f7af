"""What the models of a run said, and the facts of a report made from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import report
from contrastive_cxr.augment import TTA_SETS
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.engine import Fabric
from contrastive_cxr.evaluation.knn_vote import Voters
from contrastive_cxr.evaluation.predictions import Outputs, outputs
from contrastive_cxr.metrics import baselines, decisions, neighbours
from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_layout import PhaseName

Probabilities = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
Blind = list[tuple[str, Probabilities]]


@dataclass(frozen=True)
class Scene:
    """What is scored, and by what.

    Attributes
    ----------
    data : Dataset
        The scored images.
    reference : Dataset
        The ones that training took: the same `Dataset`, but for an external test.
    voters : Voters or None
        A gallery whose vote is scored in the place of the classifier.
    """

    recipe: Recipe
    data: Dataset
    reference: Dataset
    voters: Voters | None = None


@dataclass(frozen=True)
class Said:
    """What the models of a run said.

    Attributes
    ----------
    asked, known : {phase: Outputs} of the scored and of the training rows
    reserved : Outputs or None
        Of the validation rows by the last phase, where other rows are scored.
    found : {phase: NeighbourScores} of the scored rows among the training rows
    """

    asked: dict[PhaseName, Outputs]
    known: dict[PhaseName, Outputs]
    reserved: Outputs | None
    found: dict[PhaseName, neighbours.NeighbourScores]

    @property
    def final(self) -> PhaseName:
        """The last phase."""
        return list(self.asked)[-1]

    @property
    def probabilities(self) -> Probabilities:
        """Of the last phase, float [n, C]; without a classifier the vote of the neighbours."""
        said = self.asked[self.final].probabilities
        return self.found[self.final].votes if said is None else said


def reserve(scene: Scene, fabric: Fabric, phase: Path, split: str) -> Outputs | None:
    """What the model in `phase` says of the validation rows; None where those are scored, or there are none."""
    rows = scene.reference.rows("val")
    if split == "val" or not len(rows):
        return None
    return outputs(scene.recipe, scene.reference, fabric, phase, rows, scene.recipe.evaluation.tta)


def validation(scene: Scene, said: Said) -> Validation | None:
    """Probabilities and labels of the validation rows, as temperature and thresholds are fitted on them."""
    if said.reserved is None:
        return None
    probabilities: Probabilities | None = said.reserved.probabilities
    if probabilities is None:
        known = said.known[said.final]
        probabilities = neighbour_scores(scene.recipe, scene.reference, scene.reference, said.reserved, known).votes
    labels = scene.reference.labels[said.reserved.rows]
    return Validation(np.asarray(probabilities, dtype=np.float64), labels)


def judge(scene: Scene, said: Said, kept: Validation | None, blind: Blind, split: str) -> dict[str, Any]:
    """The facts of `report.json`: scores of the last phase, neighbours of each, baselines on the same rows.

    Parameters
    ----------
    kept : Validation or None
        As from `validation`.
    blind : as from `blind_baselines`
    """
    recipe, data, options, final = scene.recipe, scene.data, scene.recipe.evaluation, said.asked[said.final]
    beside = report.Beside(
        neighbours=said.found,
        answers={} if scene.voters is not None else answers(said),
        baselines=blind,
        validation=kept,
        targets=options.target.wanted(),
        familiarity=familiarity(scene, final, said.known[said.final]),
        costs=decisions.matrix(data.classes, options.costs) if options.costs else None,
        tta=tta_of(options.tta, final.untouched),
        last_layers={name: each.last_layer for name, each in said.asked.items() if each.last_layer is not None},
        skipped=data.skipped,
        notes=[*notes(recipe, final, split), *data.manifest.notes],
    )
    predictions = report.Predictions(said.probabilities, data.labels[final.rows], data.patients[final.rows])
    subject = report.Subject(recipe.name, recipe.task, said.final, split)
    return report.build(subject, predictions, beside, resamples=options.resamples)


def answers(said: Said) -> dict[PhaseName, Probabilities]:
    """Probabilities of the phases that have a classifier, float32 [n, C]."""
    return {name: each.probabilities for name, each in said.asked.items() if each.probabilities is not None}


def notes(recipe: Recipe, final: Outputs, split: str) -> list[str]:
    """Sentences that a reader of the scores needs."""
    found = []
    if final.probabilities is None:
        found.append("No classifier was trained: decisions are the vote of the nearest training images.")
    if recipe.evaluation.costs and final.card["link"] == "margin":
        found.append("A hinge loss gives scores, not probabilities: the decision by cost follows their squashed form.")
    if split == "val":
        found.append("These validation images may also have chosen the checkpoint; no test part was given.")
    return found


def tta_of(name: str, untouched: Probabilities | None) -> report.Tta | None:
    """The test-time augmentation of a report; None without one."""
    return None if untouched is None else report.Tta(name, tuple(TTA_SETS[name]), untouched)


def blind_baselines(scene: Scene, rows: Rows) -> Blind:
    """The blind baselines, fitted on the training rows and asked about `rows`; none where the recipe wants none."""
    recipe, trained = scene.recipe, scene.reference.rows("train")
    if not recipe.evaluation.baselines or not len(trained):
        return []
    train, scored = material(scene.reference, trained), material(scene.data, rows)
    labels, classes = scene.reference.labels[trained], len(scene.data.classes)
    return list(baselines.blind(train, labels, scored, classes, recipe.seed))


def material(data: Dataset, rows: Rows) -> baselines.Material:
    """What a blind baseline sees of some rows; pixels are read where they are asked for."""
    return baselines.Material(Squares(data.images.store, data.images.slots[rows]), data.facts.iloc[rows])


def write_blind(arrays: Path, blind: Blind) -> None:
    """`baselines.npy`, float32 [n, K, C] in the order of the report's `baselines`; taken away where there is none."""
    if blind:
        stacked = np.stack([given for _, given in blind], axis=1)
        folders.write_array(arrays / "baselines.npy", stacked.astype(np.float32))
    else:
        (arrays / "baselines.npy").unlink(missing_ok=True)


def read_blind(run: Path, phase: str) -> Blind:
    """The blind baselines of an evaluated run, a row a scored image; none where it has none."""
    arrays = run / phase / "arrays" / "baselines.npy"
    names = [each["name"] for each in folders.read_json(run / "report.json")["baselines"]]
    if not names or not arrays.is_file():
        return []
    stacked = folders.read_array(arrays)
    return [(name, stacked[:, place]) for place, name in enumerate(names)]


def write_validation(arrays: Path, scene: Scene, said: Said, kept: Validation | None) -> None:
    """`val_probabilities.npy`, `val_labels.npy` and `val_rows.csv`; taken away where there is none."""
    if kept is None or said.reserved is None:
        for name in ("val_probabilities.npy", "val_labels.npy", "val_rows.csv"):
            (arrays / name).unlink(missing_ok=True)
        return
    folders.write_array(arrays / "val_probabilities.npy", kept.probabilities.astype(np.float32))
    folders.write_array(arrays / "val_labels.npy", kept.labels)
    folders.write_table(arrays / "val_rows.csv", scene.reference.manifest_table().iloc[said.reserved.rows])


def neighbour_scores(
    recipe: Recipe, data: Dataset, reference: Dataset, asked: Outputs, known: Outputs
) -> neighbours.NeighbourScores:
    """Neighbours of the scored images of `data` among the training images of `reference`, those of the same patient
    left out."""
    return neighbours.scores(
        known.vectors,
        reference.labels[known.rows],
        asked.vectors,
        data.labels[asked.rows],
        k=recipe.evaluation.k,
        vote=recipe.evaluation.vote,
        classes=len(data.classes),
        **identity(data, reference, asked, known),
    )


def familiarity(scene: Scene, asked: Outputs, known: Outputs) -> NDArray[np.float64] | None:
    """Mean cosine similarity of each scored image to the nearest training images that vote, float64 [n].

    -1 for an image without any; None without training vectors.
    """
    if not len(known.vectors):
        return None
    who = identity(scene.data, scene.reference, asked, known)
    k = min(scene.recipe.evaluation.vote, len(known.vectors))
    similarity = neighbours.search(known.vectors, asked.vectors, k, **who)[1]
    there = np.isfinite(similarity)
    sums = np.where(there, similarity, 0.0).sum(1, dtype=np.float64)
    return np.where(there.any(1), sums / np.maximum(there.sum(1), 1), -1.0)


def identity(data: Dataset, reference: Dataset, asked: Outputs, known: Outputs) -> neighbours.Identity:
    """Who the rows are; images of an external test are strangers."""
    if data is not reference:
        return {}
    return {
        "gallery_ids": known.rows,
        "query_ids": asked.rows,
        "gallery_patients": reference.patients[known.rows],
        "query_patients": data.patients[asked.rows],
    }
