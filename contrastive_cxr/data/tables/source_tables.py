"""The tables that a source names: opened, those in an archive or behind a URL copied to the cache before."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from contrastive_cxr.data.tables import inner_tables, table_files
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe.source import Source

SPLIT = "split"
LABELS = Path("labels.csv")  # the table where none is named


@dataclass(frozen=True, eq=False)
class Tables:
    """The rows of a source's table, or of the tables of its parts one below the other with a column `split`.

    Attributes
    ----------
    rows : DataFrame of str
    place : str
        What the table is called in sentences.
    notes : tuple of str
        What was recognised of its files.
    paths : tuple of Path
    """

    rows: pd.DataFrame
    place: str
    notes: tuple[str, ...]
    paths: tuple[Path, ...]

    def short(self, note: str) -> str:
        """A note with the tables' names in the place of their paths: it goes into reports."""
        for path in self.paths:
            note = note.replace(str(path), path.name)
        return note


def local(source: Source, root: str, cache_dir: Path | None) -> Source:
    """The source with its tables and lists as files of this disk.

    Raises
    ------
    RequestError
        Each that cannot be fetched.
    """
    if os.path.isdir(root):
        return source
    if source.source == "csv" and source.csv is None:
        source = source.model_copy(update={"csv": LABELS})
    faults: list[str] = []

    def fetched(path: Path, setting: str) -> Path:
        if path.is_absolute():
            return path
        try:
            return inner_tables.kept(root, path.as_posix(), cache_dir, setting)
        except RequestError as error:
            faults.extend(error.faults)
            return path

    found = _moved(source, fetched)
    raise_faults(faults)
    return found


def _moved(source: Source, moved: Callable[[Path, str], Path]) -> Source:
    """The source with each of its tables and lists where `moved(path, setting)` says."""
    csv = source.csv
    if isinstance(csv, dict):
        csv = {part: moved(path, f"data.csv.{part}") for part, path in csv.items()}
    elif csv is not None:
        csv = moved(csv, "data.csv")
    merge = tuple(
        each.model_copy(update={"csv": moved(each.csv, f"data.merge.{number}.csv")})
        for number, each in enumerate(source.merge)
    )
    lists = {part: moved(path, f"data.split_lists.{part}") for part, path in source.split_lists.items()}
    return source.model_copy(update={"csv": csv, "merge": merge, "split_lists": lists})


def named(source: Source) -> list[Path]:
    """The tables and lists of a source, relative to its root."""
    found: list[Path] = []

    def noted(path: Path, setting: str) -> Path:
        found.append(path)
        return path

    _moved(source, noted)
    return found


def opened(root: str, source: Source) -> Tables:
    """Read the table of a source, or the tables of its parts.

    Raises
    ------
    RequestError
        Each table that is missing or cannot be read; tables of parts with different columns.
    """
    given = source.csv or LABELS
    paths = {part: Path(root) / path for part, path in (given if isinstance(given, dict) else {"": given}).items()}
    faults: list[str] = []
    found: dict[str, table_files.Opened] = {}
    for part, path in paths.items():
        try:
            found[part] = _table(path, root, source)
        except RequestError as error:
            faults += error.faults
    raise_faults(faults)
    if not isinstance(given, dict):
        return Tables(found[""].rows, str(paths[""]), found[""].notes, (paths[""],))
    place = ", ".join(path.name for path in paths.values())
    names = {part: list(table.rows) for part, table in found.items()}
    first, has = next(iter(names.items()))
    faults = [
        f"{paths[part]} has the columns {own}, and {paths[first]} {has}; the tables of data.csv have the same columns"
        for part, own in names.items()
        if own != has
    ]
    if SPLIT in has:
        faults.append(
            f"{place}: the tables of data.csv have a column '{SPLIT}' of their own; name one table in data.csv"
        )
    raise_faults(faults)
    rows = pd.concat([table.rows.assign(split=part) for part, table in found.items()], ignore_index=True)
    return Tables(rows, place, tuple(note for table in found.values() for note in table.notes), tuple(paths.values()))


def _table(path: Path, root: str, source: Source) -> table_files.Opened:
    if not path.is_file():
        near = sorted(each.name for each in Path(root).iterdir() if each.name.lower().endswith(table_files.ENDINGS))
        raise RequestError(f"table {path} is missing; set data.csv to a table relative to {root}, which has {near}")
    opened = table_files.open_table(path, source.table)
    if opened.rows.empty:
        raise RequestError(f"{path} has no rows; give one row an image")
    return opened
