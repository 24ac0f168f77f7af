"""The manifest: a checked table, one row an image."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.data.tables.text_tables import at_most as at_most
from contrastive_cxr.data.tables.text_tables import read_table as read_table
from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.files import write_bytes
from contrastive_cxr.findings import classes_of, named
from contrastive_cxr.recipe.text import yaml_text
from contrastive_cxr.tasks import SHIPPED, Task, unknown_labels

COLUMNS = ("path", "root", "label", "patient", "split", "source")
LISTED = 20  # labels that a sentence names; the rest is counted


@dataclass(frozen=True, eq=False)
class Manifest:
    """Rows of text.

    Parameters
    ----------
    rows : DataFrame
        `path` (relative to `root`, with `/`), `root` (absolute folder), `label`, `patient` ('' unknown), `split` (''
        not given, `train`, `val`, `test` or `unused`), `source` (name of the source), and any extra column. All values
        are strings: a patient '007' stays '007'. The index is made 0..N-1.
    notes : tuple of str
        What reading them recognised, repaired or left out, one sentence each; nothing of it is written to a file.
    """

    rows: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.rows]
        assert not missing, f"a manifest lacks the columns {missing}"
        object.__setattr__(self, "rows", self.rows.astype(str).reset_index(drop=True))

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> NDArray[np.object_]:
        """One column as an array of `str`, object [N]."""
        return np.asarray(self.rows[name], dtype=object)

    def files(self) -> list[Path]:
        """The images' addresses, as `data.places` has them."""
        return [Path(join(root, path)) for root, path in zip(self.rows["root"], self.rows["path"], strict=True)]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Manifest:
        """Some rows, by number or by mask, as a manifest of their own."""
        return Manifest(self.rows[rows] if rows.dtype == bool else self.rows.iloc[rows], self.notes)

    def split_as(self, split: str | Sequence[str]) -> Manifest:
        """The same rows in another part, or in the parts of a list, str [N]."""
        return Manifest(self.rows.assign(split=split), self.notes)


def write(manifest: Manifest, path: Path) -> None:
    """Write all columns to a CSV file (UTF-8) that `read` gives back exactly."""
    write_bytes(path, manifest.rows.to_csv(index=False, lineterminator="\n").encode())


def read(path: Path) -> Manifest:
    """Read a manifest that `write` wrote; `RequestError` where it is another file."""
    rows = read_table(path)
    missing = [column for column in COLUMNS if column not in rows]
    if missing:
        raise RequestError(f"{path} is no manifest: it lacks the columns {missing} and has {list(rows)}")
    return Manifest(rows)


def encode(manifest: Manifest, task: Task, all_classes: bool = True) -> NDArray[np.int64]:
    """Class numbers of the rows.

    Parameters
    ----------
    manifest : Manifest
        N rows.
    task : Task
        The label map.
    all_classes : bool
        Refuse a class without a row (training needs each; scoring does not).

    Returns
    -------
    int64 [N]
        Class number in 0..C-1, or -1 where the task leaves the row out.

    Raises
    ------
    RequestError
        A column the manifest lacks, labels the map does not know, classes without a row, or no row left.
    """
    values = values_of(manifest, task)
    counts = Counter(values)
    raise_faults(_unknown(task, counts))
    numbers = {value: task.encode(value) for value in counts}
    labels = np.array([numbers[value] for value in values], dtype=np.int64)
    empty = [name for number, name in enumerate(task.names) if not (labels == number).any()]
    if all_classes or len(empty) == len(task.names):
        raise_faults(
            f"class '{name}' of task '{task.name}' has no image: it stands for the labels {list(task.classes[name])}, "
            f"and the data has {_counted(counts)}; correct task.classes or the data"
            for name in empty
        )
    return labels


def values_of(manifest: Manifest, task: Task) -> list[str]:
    """The label of each row as the task reads it, str [N].

    Raises
    ------
    RequestError
        A column the manifest lacks, no labels at all, a finding's value that has no word.
    """
    known = [str(column) for column in manifest.rows if column != "root"]
    place = "task.columns" if task.findings is None else "task.findings.columns"
    raise_faults(
        f"{place} '{column}' is not a column of the data, which has {known}{nearest(column, known)}"
        for column in task.read_columns
        if column not in known
    )
    columns = {name: manifest.column(name) for name in task.read_columns}
    if task.findings is not None:
        raise_faults(task.findings.faults(columns))
    elif task.read_columns == ("label",) and task.encode("") is None and not manifest.column("label").any():
        raise RequestError(
            f"the data has no labels: none of its columns {known} is known as the label; name one with "
            "data.columns.label=COLUMN, or make classes from findings with task.findings"
        )
    cells = dict.fromkeys(zip(*columns.values(), strict=True))
    read = {each: task.of_cells(each) for each in cells}
    return [read[each] for each in zip(*columns.values(), strict=True)]


def task_notes(manifest: Manifest, task: Task) -> tuple[str, ...]:
    """What the task does with images that it leaves out or that have several findings, with their counts.

    Of a shipped task it is known what it leaves out; a task of the user's own may leave out more than was meant.
    """
    if task.findings is None:
        return () if SHIPPED.get(task.name) == task else _dropped(Counter(values_of(manifest, task)), task)
    counts = Counter(values_of(manifest, task))
    several = sum(n for value, n in counts.items() if _several(task, value))
    others = sum(n for value, n in counts.items() if (task.encode(value) or 0) >= 0 and len(named(value)[0]) > 1)
    unknown = sum(n for value, n in counts.items() if named(value)[1] and task.encode(value) == -1)
    said = {
        f"have findings of several classes (task.findings.several={task.findings.several})": several,
        "of a class have further findings": others,
        "are left out because a finding of theirs is (task.findings.words)": unknown,
    }
    return tuple(f"task '{task.name}': {number:,} images {words}" for words, number in said.items() if number)


def _dropped(counts: Counter[str], task: Task) -> tuple[str, ...]:
    """How many images `task.drop` leaves out, the most frequent labels by name."""
    found = [(value, number) for value, number in counts.most_common() if task.encode(value) == -1]
    names = ", ".join(f"'{value}' {number:,}" for value, number in found[:5])
    more = f" and {len(found) - 5} more labels" if len(found) > 5 else ""
    images = sum(number for _, number in found)
    return (f"task '{task.name}': {images:,} images are left out by task.drop ({names}{more})",) if found else ()


def _several(task: Task, value: str) -> bool:
    assert task.findings is not None, "the task is of findings"
    return len(classes_of(value, task.findings, task.classes, task.drop) or ()) > 1


def select(manifest: Manifest, task: Task, all_classes: bool = True) -> tuple[Manifest, NDArray[np.int64]]:
    """The rows that the task keeps and their class numbers, int64 [N]; raises as `encode` does."""
    labels = encode(manifest, task, all_classes)
    return manifest.take(labels >= 0), labels[labels >= 0]


def _unknown(task: Task, counts: Counter[str]) -> list[str]:
    mapped = [value for values in task.classes.values() for value in values] + list(task.drop)
    unknown = unknown_labels(task, list(counts))
    several = [value for value in unknown if task.findings is not None and _several(task, value)]
    rest = [value for value in unknown if value not in set(several)]
    what, stars = ("label", "map it to a class or add it to task.drop")
    if task.findings is not None:
        what, stars = "findings", "add them to a class or to task.drop ('*': all others, 'none': no finding)"
    faults = [
        f"{what} '{value}' ({counts[value]} images) is not in task '{task.name}', which knows {mapped}"
        f"{_other_spelling(task, value, counts) or f'{nearest(value, mapped)}; {stars}'}"
        for value in rest
    ]
    if several:
        examples = ", ".join(f"'{value}' ({counts[value]:,})" for value in several[:3])
        faults.append(
            f"{sum(counts[value] for value in several):,} images have findings of several classes of task "
            f"'{task.name}', such as {examples}; write task.findings.several=leave-out, or first for the first of "
            f"their classes in the order {list(task.classes)}"
        )
    return at_most(faults)


def _other_spelling(task: Task, value: str, counts: Counter[str]) -> str:
    """The line that maps a label which differs from a known one by case and marks alone; '' where none does."""
    if task.findings is not None:
        return ""
    for name, labels in task.classes.items():
        known = {_bare(label): label for label in (name, *labels)}
        if _bare(value) not in known:
            continue
        held = [label for label in labels if label in counts]
        new = [label for label in counts if _bare(label) in known and task.encode(label) is None]
        line = f"task.classes.{name}={yaml_text.inline([*held, *sorted(new)])}"
        return (
            f"; it differs from '{known[_bare(value)]}' by case or marks alone: add {shlex.quote(line)}"
            if "." not in name
            else f"; it differs from '{known[_bare(value)]}' by case or marks alone: write it into task.classes"
        )
    return ""


def _bare(label: str) -> str:
    """A label without case, blanks and marks."""
    return re.sub(r"[\W_]+", "", label.casefold())


def _counted(counts: Counter[str]) -> str:
    parts = [f"'{value}' ({number})" for value, number in counts.most_common(LISTED)]
    return ", ".join(parts) + (f" and {len(counts) - LISTED} more labels" if len(counts) > LISTED else "")
