"""Metrics that cannot choose a checkpoint on the validation images there are: known before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run_layout import PhaseName

Ints = NDArray[np.int64]
_AREAS = ("auc", "robust_auc")
_DECISIONS = ("balanced_accuracy", "accuracy", "f1")
_NEIGHBOURS = ("map_at_r", "knn_accuracy")


def faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> list[str]:
    """One sentence a phase whose `choose_by` is undefined, or says nothing, on the validation part.

    That the training part has every class is asked where the images are opened.
    """
    found = []
    for phase in phases:
        word = recipe.phase(phase).choose_by
        if not recipe.phase(phase).uses_labels:
            continue
        lacking = _lacking(word, data)
        if lacking:
            found.append(
                f"{phase}.choose_by={word} cannot choose a checkpoint: {lacking}; set {phase}.choose_by=loss or last, "
                "or take validation images out of the training part (data.split.kind=within-train)"
            )
    return found


def _lacking(word: str, data: Dataset) -> str:
    """What the validation part lacks for a metric, or ''."""
    rows = data.rows("val")
    there = _classes(data)
    if not len(rows) or len(data.classes) < 2:
        return ""
    absent = [f"'{name}'" for name in data.classes if name not in there]
    if word in _AREAS and absent:
        return f"the validation part has no image of class {' and '.join(absent)}"
    if word in (*_DECISIONS, *_NEIGHBOURS) and len(there) == 1:
        return f"all {len(rows)} validation images are of class '{there[0]}', so every network that says so is right"
    if word in _NEIGHBOURS and not _has_pair(data.labels[rows], data.patients[rows]):
        return "no validation image has another one of its class and of another patient, so it has no neighbour to find"
    return ""


def _classes(data: Dataset) -> list[str]:
    """Names of the classes that have validation images, in the task's order."""
    present = set(data.labels[data.rows("val")].tolist())
    return [name for number, name in enumerate(data.classes) if number in present]


def _has_pair(labels: Ints, patients: Ints) -> bool:
    """Whether two images are of one class and not of one known patient; unknown patients (-1) are all different."""
    single = np.arange(len(labels)) + patients.max(initial=-1) + 1
    owners = np.where(patients >= 0, patients, single)
    return any(len(np.unique(owners[labels == label])) > 1 for label in np.unique(labels))
