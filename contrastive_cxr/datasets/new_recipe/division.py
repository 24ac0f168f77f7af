"""Which split images get: their own where it can choose and score, else a new one; each is tried first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.data.manifest import Manifest, encode
from contrastive_cxr.data.manifest_checks import check_leaks
from contrastive_cxr.data.split import divide
from contrastive_cxr.datasets.new_recipe.guess import Guess, Tree
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe import schema
from contrastive_cxr.tasks import Task

CHOOSES = 20
"""Validation images of each class below which a part that somebody else made does not choose a checkpoint."""
SMALL = 40
"""Patients of the smallest class below which folds are advised."""
OPENED = 20_000
"""Images up to which all are decoded, into the cache that training uses; of more none is opened."""


class Division(NamedTuple):
    """How images are divided.

    Attributes
    ----------
    counts : int64 [3, C]
        Images of train, val and test by class.
    smallest : int
        Patients of the class with the fewest; images count where no patient is known.
    unreadable : int
        Files that could not be read.
    """

    counts: npt.NDArray[np.int64]
    smallest: int
    unreadable: int


def guess(data: schema.Data, task: Task, rows: Manifest) -> tuple[Guess, Division]:
    """The split section, and the counts that it gives.

    Raises
    ------
    RequestError
        No division has every class in its training part: what was tried, with its faults.
    """
    labels = encode(rows, task)
    smallest = _smallest(rows, labels, len(task.names))
    refused: list[str] = []
    candidates = _candidates(rows, labels, smallest) if len(task.names) > 1 else _unlabelled(rows)
    for settings, words in candidates:
        split = schema.Split.model_validate(settings)
        try:
            counts, unreadable = _tried(data.model_copy(update={"split": split, "on_bad_image": "skip"}), task, rows)
        except RequestError as error:
            refused.append(f"{settings['kind']}: {error.faults[0]}")
            continue
        found = Guess(settings, {"kind": words})
        if refused:
            found.reasons["kind"] += f". The first choice was refused: {refused[0][:300]}"
            found.doubts.append(f"another split than the first choice is taken, which was refused: {refused[0]}")
        return found, Division(counts, smallest, unreadable)
    raise RequestError(
        f"the {len(rows):,} images cannot be divided into parts that train and choose: {'; '.join(refused)}",
        "write by hand: give more images or patients of the rare classes, or take these classes out of task.classes",
    )


def folds_of(smallest: int) -> int:
    """The number of folds that is advised where the smallest class has so few patients; 0: none, or too few for it.

    Examples
    --------
    >>> folds_of(100), folds_of(12), folds_of(6), folds_of(3)
    (0, 5, 3, 0)
    """
    return 0 if smallest >= SMALL or smallest < 5 else 5 if smallest >= 10 else 3


def _smallest(rows: Manifest, labels: npt.NDArray[np.int64], classes: int) -> int:
    """Patients of the class that has the fewest; images of nobody count each by itself."""
    paths, patients = rows.column("path"), rows.column("patient")
    owners = [patient or f"\0{path}" for path, patient in zip(paths, patients, strict=True)]
    return min(len({owners[row] for row in np.flatnonzero(labels == label)}) for label in range(classes))


def _candidates(rows: Manifest, labels: npt.NDArray[np.int64], smallest: int) -> list[tuple[Tree, str]]:
    """Splits worth trying, the best first, each with its reason."""
    own = rows.column("split")
    parts = {str(part) for part in own} - {"", "unused"}
    kept = labels >= 0
    fewest = {part: _fewest(labels[(own == part) & kept], labels[kept]) for part in parts}
    found: list[tuple[Tree, str]] = []
    if {"train", "val"} <= parts and fewest["val"] >= max(1, min(CHOOSES, fewest["train"] // 10)):
        found.append(({"kind": "official"}, f"the images have a split of their own: {_listed(own)}"))
    if {"train", "test"} <= parts:
        words = f"the images' own test part is kept ({_listed(own)}), and a validation part is taken out of train"
        found.append(({"kind": "val-within-train", "val": 0.1}, words))
    if {"train", "val"} <= parts:
        words = f"the images' own val part has {fewest['val']} of a class, too few to choose by ({_listed(own)})"
        found.append(({"kind": "within-train", "val": 0.1, "test": 0.15}, words))
    known = len(set(rows.column("patient")) - {""})
    keeps = f"no image of one of the {known:,} patients stands on both sides" if known else "patients are not known"
    test = 0.15 if smallest >= SMALL else 0.2
    few = f"the smallest class has {smallest} {'patients' if known else 'images'}"
    words = f"no split of their own: 10 % choose, {round(100 * test)} % are scored once; {keeps}"
    if folds := folds_of(smallest):
        words += f"; {few}, so that ccxr run ... --folds {folds}, which scores every image once, says more"
    found.append(({"kind": "fractions", "val": 0.1, "test": test}, words))
    words = f"{few}, too few for a test part: the part that chooses is scored too"
    found.append(({"kind": "fractions", "val": 0.2, "test": 0.0}, words))
    return found


def _unlabelled(rows: Manifest) -> list[tuple[Tree, str]]:
    """Splits worth trying for images without labels: nothing is scored, and validation only watches the loss."""
    own = rows.column("split")
    parts = {str(part) for part in own} - {"", "unused"}
    found: list[tuple[Tree, str]] = []
    if {"train", "val"} <= parts:
        found.append(({"kind": "official"}, f"the images have a split of their own: {_listed(own)}"))
    elif "train" in parts:
        words = f"the images' own parts are kept ({_listed(own)}), and a validation part is taken out of train"
        found.append(({"kind": "val-within-train", "val": 0.1}, words))
    words = "10 % of the images only watch the loss; nothing is scored, so there is no test part"
    return [*found, ({"kind": "fractions", "val": 0.1, "test": 0.0}, words)]


def _fewest(labels: npt.NDArray[np.int64], every: npt.NDArray[np.int64]) -> int:
    """Images of the class that has the fewest."""
    return min(int((labels == label).sum()) for label in np.unique(every))


def _listed(own: Sequence[object] | npt.NDArray[np.object_]) -> str:
    words = [str(part) or "none" for part in own]
    return ", ".join(f"{part} {words.count(part):,}" for part in dict.fromkeys(sorted(words)))


def _tried(data: schema.Data, task: Task, rows: Manifest) -> tuple[npt.NDArray[np.int64], int]:
    """Images of train, val and test by class, and the number of unreadable files; as a training would open them."""
    if len(rows) <= OPENED:
        dataset = open_dataset(data, task, manifest=rows)
        return _counted(dataset.labels, dataset.split, task), len(dataset.skipped)
    labels = encode(rows, task)
    kept = rows.take(labels >= 0)
    split = divide(kept, labels[labels >= 0], data.split, names=task.names)
    raise_faults(check_leaks([""] * len(kept), kept.column("patient"), split, kept.column("path")))
    return _counted(labels[labels >= 0], split, task), 0


def _counted(labels: npt.NDArray[np.int64], split: npt.NDArray[np.str_], task: Task) -> npt.NDArray[np.int64]:
    classes = len(task.names)
    return np.array([np.bincount(labels[split == part], minlength=classes) for part in ("train", "val", "test")])
