"""A run's predictions on the scored images under benign changes, and the report's field that is made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr import engine, terminal
from contrastive_cxr.augment import TTA_SETS
from contrastive_cxr.augment.corruptions import CASES, CORRUPTIONS, corrupt
from contrastive_cxr.data.batches import Images
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.predictions import Outputs, ready_network
from contrastive_cxr.evaluation.report_facts import EvaluationContext, PhasePredictions, neighbour_scores
from contrastive_cxr.metrics import robustness
from contrastive_cxr.metrics.robustness import Case
from contrastive_cxr.report.facts import robust_words
from contrastive_cxr.retrieval.embedding import forward_packed
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_folder.results import joined

SHARE = 0.1
"""Largest work, as a share of that of the training, at which `evaluation.robustness: auto` measures robustness."""
FORWARD = 1 / 3
"""Work of a pass without gradients, as a share of that in training: backward takes twice as much as forward."""
NOISE_SEED = 0
"""The same noise for every run, so that runs over the same images are comparable."""
ARRAY = "robustness"
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RobustnessPredictions:
    """The last phase's predictions under each change.

    Attributes
    ----------
    probabilities : float32 [K, n, C] or None
        In the order of `augment.corruptions.CASES`; None if robustness is not measured, and on all processes but the
        first.
    note : str
        Why robustness was not measured, and the command that measures it; empty if there is nothing to say.
    """

    probabilities: Floats | None = None
    note: str = ""


def predict_under_changes(
    context: EvaluationContext, fabric: Fabric, run: Path, preds: PhasePredictions
) -> RobustnessPredictions:
    """The last phase's predictions on the scored images under every change, if `evaluation.robustness` asks for it.

    Each change is a pass over the images, with test-time augmentation one pass for each view. If the model has no
    classifier, its nearest training images vote; if a gallery is scored, the gallery votes.

    Raises
    ------
    RequestError
        It is `on`, and the run has no labels to score by.
    """
    word, final = context.recipe.evaluation.robustness, preds.query[preds.final]
    if word == "on" and len(context.data.classes) < 2:
        raise RequestError(no_labels(run))
    if word == "off" or len(context.data.classes) < 2:
        return RobustnessPredictions()
    if word == "auto":
        work, allowed = changes_work(context, len(final.rows)), SHARE * training_work(context, run, list(preds.query))
        if work >= allowed:
            return RobustnessPredictions(note=left_out(len(final.rows), work, allowed))
    return RobustnessPredictions(passes(context, fabric, run, preds))


def no_labels(run: Path) -> str:
    """The error message for a run without labels."""
    return (
        f"evaluation.robustness=on: {run} has no labels to score by (its task has one class); leave --robustness out, "
        "or set evaluation.robustness=off"
    )


def passes(context: EvaluationContext, fabric: Fabric, run: Path, preds: PhasePredictions) -> Floats | None:
    """Probabilities under every change, float32 [K, n, C]; None on all processes but the first."""
    final, tta = preds.query[preds.final], context.recipe.evaluation.tta
    images, batch = Images(context.data.images, fabric.device), context.recipe.runtime.eval_batch_size
    network, card, _ = ready_network(context.recipe, fabric, run / preds.final, images, final.rows, tta)

    def forward(pixels: Tensor) -> Tensor:
        return forward_packed(network, pixels, card["link"], tta)

    found = []
    terminal.stage("images under benign changes")
    with terminal.Stages("benign changes", len(CASES)):
        for name, severity in CASES:
            terminal.stage(f"{name} {severity}")
            packed = engine.encode(fabric, forward, final.rows, batch, Changed(images, name, severity), network=network)
            if fabric.is_global_zero:
                found.append(probabilities_of(context, preds, packed, network.spec.classes))
    return np.stack(found) if found else None


@dataclass(frozen=True)
class Changed:
    """Images of some rows under one change: `changed(rows) -> uint8 [B, 1, H', W']` on the device."""

    images: Images
    name: str
    severity: int

    def __call__(self, rows: Rows) -> Tensor:
        """The changed images of `rows`."""
        return corrupt(self.images.take(rows), self.name, self.severity, rows, NOISE_SEED)


def probabilities_of(context: EvaluationContext, preds: PhasePredictions, packed: Floats, classes: int) -> Floats:
    """Probabilities float32 [n, C], from the outputs of `forward_packed` for n images: the classifier's, or a vote."""
    final = preds.query[preds.final]
    if context.voters is None and classes:
        # with test-time augmentation, the means over the views are last
        return np.ascontiguousarray(packed[:, -classes:])
    moved = Outputs(final.rows, np.ascontiguousarray(packed[:, : final.vectors.shape[1]]), None, card=final.card)
    if context.voters is not None:
        shares = context.voters.vote(context.data, moved, strangers=context.data is not context.reference).probabilities
        assert shares is not None, "a gallery votes for every image"
        return shares
    train = preds.train[preds.final]
    return neighbour_scores(context.recipe, context.data, context.reference, moved, train).votes.astype(np.float32)


def training_work(context: EvaluationContext, run: Path, phases: Sequence[str]) -> float:
    """Number of images that the phases of a run trained on, each counted as often as it was seen.

    The work is counted and not timed, so that a run that was killed and resumed decides like one that was not. A head
    that is trained on stored vectors counts as the one pass that made them.
    """
    seen = 0.0
    for name in phases:
        if name == "finetune" and context.recipe.finetune and context.recipe.finetune.on_vectors:
            seen += FORWARD * (len(context.reference.rows("train")) + len(context.reference.rows("val")))
        else:
            seen += done(run, name).get("images_seen", 0)
    return seen


def changes_work(context: EvaluationContext, images: int) -> float:
    """Work of all changes of `images` images, in images of training: a pass without gradients counts as a third."""
    return len(CASES) * len(TTA_SETS[context.recipe.evaluation.tta]) * images * FORWARD


def done(run: Path, phase: str) -> dict[str, Any]:
    """The contents of a phase's `done.json`; empty if there is none."""
    path = run / phase / "done.json"
    return folders.read_json(path) if path.is_file() else {}


def left_out(images: int, work: float, allowed: float) -> str:
    """A sentence that says why robustness was not measured, and which command measures it."""
    return (
        f"Robustness was not measured. To score {images} images under {len(CASES)} changes is as much work as "
        f"training on {work:,.0f} images, and evaluation.robustness=auto allows at most a tenth of the run's "
        f"training, {allowed:,.0f} images here. This command measures it: ccxr evaluate RUN --robustness"
    )


def write(arrays: Path, query: RobustnessPredictions) -> None:
    """Write `robustness.npy`, float32 [K, n, C]; remove it if robustness was not measured."""
    if query.probabilities is None:
        (arrays / f"{ARRAY}.npy").unlink(missing_ok=True)
    else:
        folders.write_array(arrays / f"{ARRAY}.npy", query.probabilities)


def facts_of(
    context: EvaluationContext, preds: PhasePredictions, query: RobustnessPredictions
) -> dict[str, Any] | None:
    """The report's field `robustness`; None if it was not measured."""
    if query.probabilities is None:
        return None
    cases = [case(*each) for each in CASES]
    rows, data = preds.query[preds.final].rows, context.data
    return scores_under_changes(
        preds.probabilities, query.probabilities, data.labels[rows], cases, data.patients[rows],
        context.recipe.evaluation.resamples,
    )  # fmt: skip


def case(name: str, severity: int) -> Case:
    """A change as the report names it."""
    kind = CORRUPTIONS[name]
    value = kind.values[severity - 1]
    return Case(name, severity, value if kind.unit else None, kind.unit, kind.title, kind.words.format(value))


def scores_under_changes(
    clean: NDArray[Any], corrupted: NDArray[Any], labels: Rows, cases: Sequence[Case], patients: Rows, resamples: int
) -> dict[str, Any]:
    """Scores under the changes, and sentences that summarise them."""
    found = robustness.report(clean, corrupted, labels, cases, patients, resamples)
    return dict(folders.plain({**found, "sentences": robust_words.sentences(found)}))


def pooled(
    reports: Sequence[dict[str, Any]], arrays: Sequence[Path], preds: NDArray[Any], labels: Rows, patients: Rows,
    resamples: int,
) -> dict[str, Any] | None:  # fmt: skip
    """The field `robustness` of several runs, from their mean probabilities; None if one lacks it or has other changes.

    Parameters
    ----------
    preds, labels, patients
        Of the joined rows, as from `run_folder.results.joined`.
    """
    facts = [each.get("robustness") for each in reports]
    if not all(facts) or not all((each / f"{ARRAY}.npy").is_file() for each in arrays):
        return None
    cases = [cases_of(each) for each in facts if each]
    if any(other != cases[0] for other in cases):
        return None
    corrupted = np.moveaxis(joined(arrays, array=ARRAY, axis=1)[1], 1, 0)
    return scores_under_changes(preds, corrupted, labels, cases[0], patients, resamples)


def cases_of(facts: dict[str, Any]) -> list[Case]:
    """The changes in a report's field `robustness`, in the order of its array."""
    return [
        Case(change["name"], line["severity"], line["value"], change["unit"], change["title"], line["words"])
        for change in facts["changes"]
        for line in change["severities"]
    ]
