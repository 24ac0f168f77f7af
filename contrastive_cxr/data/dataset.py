"""A task's images, checked, decoded, divided and counted: what every phase works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data import cache, sources
from contrastive_cxr.data.manifest import Manifest, encode, task_notes
from contrastive_cxr.data.manifest_checks import check_leaks
from contrastive_cxr.data.shards import opening
from contrastive_cxr.data.split import divide
from contrastive_cxr.data.squares import Squares, statistics
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe import schema
from contrastive_cxr.recipe.text.audit_command import audit_command
from contrastive_cxr.tasks import Task

PARTS = ("train", "val", "test", "unused")
FACTS = ("digest", "grey_low", "grey_high")  # of a file, that a run's manifest keeps


@dataclass(frozen=True, eq=False)
class Dataset:
    """N images of a task.

    Attributes
    ----------
    manifest : Manifest
        The N rows that the task keeps and that could be read.
    task : Task
    labels : int64 [N]
        Class numbers, 0..C-1.
    patients : int64 [N]
        Patient numbers, -1 unknown.
    split : str [N]
        `train`, `val`, `test` or `unused`.
    images : Squares
        uint8 [N, 1, S, S]; `images[rows]` reads pixels.
    facts : DataFrame [N]
        What the cache kept of each file.
    mean, std : float
        Of all cached pixels of the training part, in 0..1, nothing left out (padding included, as the network sees it);
        nan where there is no training part. The standard deviation of an even grey is 0: the network guards it.
    skipped : DataFrame
        `path`, `source` and `error` of the files that could not be read (`data.on_bad_image=skip`).
    intensity : schema.Intensity
        How stored values became grey, with the ranges that were found for it.
    """

    manifest: Manifest
    task: Task
    labels: NDArray[np.int64]
    patients: NDArray[np.int64]
    split: NDArray[np.str_]
    images: Squares
    facts: pd.DataFrame
    mean: float
    std: float
    skipped: pd.DataFrame
    intensity: schema.Intensity = field(default_factory=schema.Intensity)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number."""
        return self.task.names

    def rows(self, split: str) -> NDArray[np.int64]:
        """Numbers of the rows of a part, int64, ascending; empty where the part is."""
        assert split in PARTS, f"'{split}' is not one of {PARTS}"
        return np.flatnonzero(self.split == split)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pixels of some rows, uint8 [B, 1, S, S]."""
        return self.images[rows]

    def describe(self) -> pd.DataFrame:
        """Counts: a row a part, a column a class, then `images` and `patients` (known ones) and `without patient`."""
        parts = [part for part in PARTS if (self.split == part).any()]
        lines = []
        for part in parts:
            rows = self.rows(part)
            line = dict(zip(self.classes, np.bincount(self.labels[rows], minlength=len(self.classes)), strict=True))
            patients = self.patients[rows]
            known = len(np.unique(patients[patients >= 0]))
            lines.append(line | {"images": len(rows), "patients": known, "without patient": int((patients < 0).sum())})
        return pd.DataFrame(lines, index=pd.Index(parts, name="split"))

    def manifest_table(self) -> pd.DataFrame:
        """The rows for a run's `manifest.csv`: the manifest, `split` as divided here, `class`, and facts of the file.

        These are `digest`, and `grey_low` and `grey_high`, the stored values that became 0 and 255.
        """
        names = np.array(self.classes, dtype=object)
        facts = {name: [_text(value) for value in self.facts[name]] for name in FACTS if name in self.facts}
        table = self.manifest.rows.copy(deep=False)
        table["split"] = self.split.astype(object)
        table["class"] = names[self.labels]
        for name, values in facts.items():
            table[name] = values
        return table


def open_dataset(
    data: schema.Data,
    task: Task,
    *,
    need: Sequence[str] = ("train", "val"),
    unsplit: str | None = None,
    manifest: Manifest | None = None,
    progress: cache.Progress | None = None,
) -> Dataset:
    """Read, check, decode and divide the images of a task.

    All rows of the sources are decoded, also those the task drops: tasks over the same images share one cache. Nothing
    is decoded where `data.shards` names shards, which hold what they were packed from.

    Parameters
    ----------
    data : schema.Data
        The recipe's section.
    task : Task
        The label map.
    need : sequence of str
        Parts that must hold images. Without `train` the data is only scored, and may lack classes.
    unsplit : str, optional
        Part of all rows, where their source has no split of its own.
    manifest : Manifest, optional
        The rows, where the caller has read, chosen or divided them; none: those of `data`.
    progress : callable, optional
        Called with (done, to do) while images are decoded.

    Raises
    ------
    RequestError
        Anything wrong with the data: layout, labels, files, leaks between parts, a class without images.
    """
    manifest = sources.read_data(data) if manifest is None else manifest
    if unsplit is not None and not any(manifest.column("split")):
        manifest = manifest.split_as(unsplit)
    training = "train" in need
    labels = encode(manifest, task, all_classes=training)
    manifest = replace(manifest, notes=(*manifest.notes, *task_notes(manifest, task)))
    if data.shards is None:
        cached = cache.build(manifest, data, progress)
    else:
        cached = opening.opened(manifest, data, labels >= 0)
    bad = (cached.facts["error"] != "").to_numpy()
    columns = {name: manifest.column(name)[bad] for name in ("path", "source")}
    skipped = pd.DataFrame({**columns, "error": cached.facts["error"].to_numpy()[bad]})
    kept = np.flatnonzero((labels >= 0) & ~bad)
    if not len(kept):
        raise RequestError(
            f"none of the {len(manifest)} images of task '{task.name}' can be read; see {skipped.head(3)}"
        )
    manifest, labels, facts = manifest.take(kept), labels[kept], cached.facts.iloc[kept].reset_index(drop=True)
    split = divide(manifest, labels, data.split, digests=list(facts["digest"]), need=need, names=task.names)
    leaks = check_leaks(facts["digest"], manifest.column("patient"), split, manifest.column("path"))
    raise_faults([*leaks[:-1], *(f"{each}. {_cure(data, manifest, task)}" for each in leaks[-1:])])
    if training:
        raise_faults(_class_faults(task, labels, split))
    images = Squares(cached.images, cached.slots[kept])
    mean, std = statistics(images, np.flatnonzero(split == "train"))
    patients = _numbers(manifest.column("patient"))
    return Dataset(manifest, task, labels, patients, split, images, facts, mean, std, skipped, cached.intensity)


def _cure(data: schema.Data, manifest: Manifest, task: Task) -> str:
    command = audit_command(data, sorted(set(manifest.column("root"))), task)
    return f"This command writes a table in which copies count as one patient: {command}"


def subset(dataset: Dataset, rows: NDArray[np.int64]) -> Dataset:
    """Some rows of a data set, with its statistics, classes and parts unchanged."""
    return replace(
        dataset,
        manifest=dataset.manifest.take(rows),
        labels=dataset.labels[rows],
        patients=dataset.patients[rows],
        split=dataset.split[rows],
        images=Squares(dataset.images.store, dataset.images.slots[rows]),
        facts=dataset.facts.iloc[rows].reset_index(drop=True),
    )


def retask(dataset: Dataset, task: Task) -> Dataset:
    """The same images, decoded and divided as they are, under another label map; rows that it drops are left out.

    Raises
    ------
    RequestError
        Labels that the map does not know, or a class without training images.
    """
    labels = encode(dataset.manifest, task)
    part = subset(dataset, np.flatnonzero(labels >= 0))
    part = replace(part, task=task, labels=labels[labels >= 0])
    raise_faults(_class_faults(task, part.labels, part.split))
    mean, std = statistics(part.images, part.rows("train"))
    return replace(part, mean=mean, std=std)


def _text(value: str | float) -> str:
    """A fact as a manifest holds it, all of whose values are text.

    Examples
    --------
    >>> _text("a1"), _text(4095.0), _text(-0.5)
    ('a1', '4095', '-0.5')
    """
    return value if isinstance(value, str) else f"{value:.12g}"


def _class_faults(task: Task, labels: NDArray[np.int64], split: NDArray[np.str_]) -> list[str]:
    """Faults of classes that the training part lacks."""
    counts = np.bincount(labels[split == "train"], minlength=len(task.names))
    empty = [name for name, count in zip(task.names, counts, strict=True) if count == 0]
    if not empty:
        return []
    there = [name for name in task.names if name not in empty]
    return [
        f"the training part has images of {there} and none of {empty}; task '{task.name}' needs every class in it: "
        "give such images, take the class out of task.classes, or divide anew with data.split.kind=fractions"
    ]


def _numbers(patients: NDArray[np.object_]) -> NDArray[np.int64]:
    """Numbers of patients by name, int64 [N]; -1 for an empty name."""
    numbers = {name: number for number, name in enumerate(sorted(set(patients) - {""}))}
    return np.array([numbers.get(name, -1) for name in patients], dtype=np.int64)
