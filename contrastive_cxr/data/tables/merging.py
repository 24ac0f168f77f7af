"""Columns of further tables beside the rows of the first: `data.merge`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data.tables import columns, table_files
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe.columns import Columns, Part
from contrastive_cxr.recipe.source import Merge

SHOWN = 3
BETWEEN = "\x1f"  # between the parts of a key; a table of text has no such character
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Merged:
    """The rows with the columns that were added, what was done in words, and what is wrong."""

    rows: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def merged(table: pd.DataFrame, merges: Sequence[Merge], roles: Columns, root: str, place: str) -> Merged:
    """Add the columns of each table in turn; a table may be found by a column that one before it has added.

    Each row gets the cells of the one row of the other table whose key is its own. Nothing is multiplied: a key that
    the other table has twice with different cells is a fault.

    Parameters
    ----------
    table : DataFrame of str
    merges : sequence of Merge
        `data.merge`.
    roles : Columns
        `data.columns`, whose `patient`, `study` and so on are keys too.
    root : str
        Folder that the tables are relative to.
    place : str
        What the table is called in sentences.
    """
    found = Merged(table)
    for number, wanted in enumerate(merges):
        name = f"data.merge.{number}"
        try:
            other = _opened(Path(root) / wanted.csv, wanted, name)
        except RequestError as error:
            found.faults.extend(error.faults)
            continue
        found.notes.extend(other.notes)
        found = _with(found, other.rows, wanted, roles, _Names(name, place, wanted.csv.name))
    return found


@dataclass(frozen=True)
class _Names:
    """What a merge, its rows and its table are called in sentences."""

    setting: str
    rows: str
    table: str


@dataclass(frozen=True, eq=False)
class _Keys:
    """The key of each row of both tables, and which of ours the other table does not have."""

    ours: pd.Series[str]
    theirs: pd.Series[str]
    lost: Mask


def _opened(path: Path, wanted: Merge, name: str) -> table_files.Opened:
    if not path.is_file():
        near = [] if not path.parent.is_dir() else sorted(each.name for each in path.parent.iterdir())
        raise RequestError(
            f"{name}.csv: table {path} is missing{nearest(path.name, near)}; name it relative to the root"
        )
    opened = table_files.open_table(path, wanted.table)
    short = tuple(note.replace(str(path), path.name) for note in opened.notes)
    return table_files.Opened(opened.rows, short)


def _with(found: Merged, other: pd.DataFrame, wanted: Merge, roles: Columns, names: _Names) -> Merged:
    """`found` with the columns of one more table, or with the faults that keep it from them."""
    faults = _unknown(found, other, wanted, roles, names)
    if faults or found.rows.empty:
        found.faults.extend(faults)
        return found
    ours = keys_of([_ours(found.rows, each, roles) for each in wanted.on])
    taken = list(wanted.columns) or [str(each) for each in other if each not in wanted.on.values()]
    theirs = keys_of([other[each] for each in wanted.on.values()])
    several = _several(other[taken], theirs, names)
    if several:
        found.faults.append(several)
        return found
    first = ~theirs.duplicated().to_numpy()
    places = pd.Index(theirs[first]).get_indexer(pd.Index(ours))
    places[_empty(ours)] = -1
    keys = _Keys(ours, theirs, places < 0)
    if keys.lost.all() or (keys.lost.any() and wanted.on_missing == "refuse"):
        found.faults.append(_lost(keys, names))
        return found
    cells = other[taken][first].iloc[np.maximum(places, 0)].set_axis(found.rows.index)
    cells.loc[keys.lost] = ""
    return _beside(found, cells, keys, wanted, names)


def _beside(found: Merged, cells: pd.DataFrame, keys: _Keys, wanted: Merge, names: _Names) -> Merged:
    """The rows with `cells` beside them, and what is to be said of it."""
    lost = keys.lost
    kept = ~lost if wanted.on_missing == "leave-out" else np.ones(len(lost), dtype=bool)
    rows, cells, notes = found.rows[kept].copy(), cells[kept], list(found.notes)
    by = ", ".join(mine if mine == its else f"{mine} = {its}" for mine, its in wanted.on.items())
    notes.append(
        f"{names.rows}: {int((~lost).sum()):,} of {len(lost):,} rows have a row of {names.table} with the same {by} "
        f"({names.setting})"
    )
    if lost.any():
        done = "are left out" if wanted.on_missing == "leave-out" else "have empty cells for its columns"
        notes.append(f"{names.rows}: {int(lost.sum()):,} rows without one ({_some(keys.ours[lost])}) {done}")
    unused = keys.theirs[~keys.theirs.isin(set(keys.ours)) & ~_empty(keys.theirs)].drop_duplicates()
    if len(unused):
        notes.append(f"{names.table}: {len(unused):,} rows are of no row of {names.rows} ({_some(unused)})")
    there = ~lost[kept]
    for column in map(str, cells):
        if column not in rows:
            rows[column] = cells[column]
            continue
        differ = int((_plain(rows[column]) != _plain(cells[column]))[there].sum())
        if differ:
            rows[f"{column} ({names.table})"] = cells[column]
            notes.append(
                f"{names.rows}: the column '{column}' of {names.table} says something else in {differ:,} rows; it is "
                f"read as '{column} ({names.table})'"
            )
    return Merged(rows, notes, found.faults)


def _unknown(found: Merged, other: pd.DataFrame, wanted: Merge, roles: Columns, names: _Names) -> list[str]:
    """Faults of keys and columns that are not there."""
    faults = []
    mine, its = list(map(str, found.rows)), list(map(str, other))
    for key, there in wanted.on.items():
        role = getattr(roles, key, None) if key not in mine else None
        if isinstance(role, str | Part):
            faults += columns.unknown(key, role, mine, names.rows)
        elif key not in mine and not found.faults:  # a table before this one that could not be read may have it
            faults.append(
                f"{names.setting}.on: {names.rows} has no column '{key}'{nearest(key, mine)}; it has {mine}; name one "
                "that it has, or patient, study and so on as data.columns says them"
            )
        if there not in its and (key in mine or key != there):  # else one name that is wrong, said above
            faults.append(
                f"{names.setting}.on: {names.table} has no column '{there}'{nearest(there, its)}; it has {its}; where "
                f"it has another name there, write {names.setting}.on='{{{key}: COLUMN}}'"
            )
    faults += [
        f"{names.setting}.columns: {names.table} has no column '{each}'{nearest(each, its)}; it has {its}"
        for each in wanted.columns
        if each not in its
    ]
    return faults


def _several(cells: pd.DataFrame, keys: pd.Series[str], names: _Names) -> str:
    """The fault of keys that several rows have whose cells differ; ''."""
    twice = keys.duplicated(keep=False).to_numpy() & ~_empty(keys)
    same = pd.concat([keys[twice].rename(""), cells[twice]], axis=1).duplicated()
    again = keys[twice][~same]
    again = again[again.duplicated(keep=False)]
    if again.empty:
        return ""
    counts = again.value_counts(sort=False)
    shown = ", ".join(f"{_word(str(key))} ({number} rows)" for key, number in list(counts.items())[:SHOWN])
    return (
        f"{names.setting}.on: {names.table} has {len(counts):,} keys in several rows with different cells, such as "
        f"{shown}; name further columns in {names.setting}.on, or fewer columns in {names.setting}.columns"
    )


def _lost(keys: _Keys, names: _Names) -> str:
    """The fault of rows that the other table has no row for."""
    lost, total = int(keys.lost.sum()), f"{len(keys.lost):,} rows of {names.rows}"
    if keys.lost.all():
        return (
            f"{names.setting}.on: none of the {total} has a row of {names.table}: the keys are {_some(keys.ours)} here "
            f"and {_some(keys.theirs)} there; name the columns that hold the same"
        )
    return (
        f"{names.setting}: {lost:,} of {total} have no row of {names.table} ({_some(keys.ours[keys.lost])}); leave "
        f"them out with {names.setting}.on_missing=leave-out, or keep them with empty cells with "
        f"{names.setting}.on_missing=keep"
    )


def _ours(rows: pd.DataFrame, key: str, roles: Columns) -> pd.Series[str]:
    """The cells of a key: of a column, else of the role of that name."""
    return rows[key] if key in rows else columns.values(rows, getattr(roles, key))


def keys_of(parts: Sequence[pd.Series[str]]) -> pd.Series[str]:
    """The parts of each row's key as one text."""
    plain = [_plain(part) for part in parts]
    return pd.Series(map(BETWEEN.join, zip(*plain, strict=True)), index=plain[0].index, dtype=object)


def _plain(cells: pd.Series[str]) -> pd.Series[str]:
    """Cells without blanks around them, whole numbers without `.0`: tables of one source write them differently."""
    return columns.plain_numbers(cells.str.strip())


def _empty(keys: pd.Series[str]) -> Mask:
    """Where all parts of a key are empty: such a row is found by nothing."""
    return np.array([not key.strip(BETWEEN) for key in keys], dtype=bool)


def _some(keys: pd.Series[str]) -> str:
    return ", ".join(map(_word, keys[:SHOWN])) + (", ..." if len(keys) > SHOWN else "")


def _word(key: str) -> str:
    return "/".join(f"'{part}'" for part in key.split(BETWEEN))
