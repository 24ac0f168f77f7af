"""The parts of a split as text files that list images, one a line: `data.split_lists`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from contrastive_cxr.data.files.addresses import split
from contrastive_cxr.data.files.named_files import folded, stem
from contrastive_cxr.data.tables.text_tables import at_most, open_regular
from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.recipe.source import PartName

SHOWN = 3
Line = tuple[str, str]
"""A part and a name that its list has; or how a name is compared and what it comes to."""


def divided(rows: pd.DataFrame, files: Mapping[PartName, Path], root: str) -> tuple[pd.DataFrame, list[str], list[str]]:
    """The rows with the part of the list that names each one's file; faults; what was done in words.

    A name stands for the row whose path it is, else for the one row whose path ends so, also in another case and
    without its ending. Rows that no list names are `unused`.

    Parameters
    ----------
    rows : DataFrame
        `path` relative to `root`.
    files : mapping
        Part and list, relative to `root`.

    Raises
    ------
    RequestError
        A list that cannot be read.
    """
    lists = {str(part): file for part, file in files.items()}
    lines = _lines(lists, root)
    keys = _by_key(rows["path"])
    parts: dict[str, str] = {}
    several: list[str] = []
    crossing: list[str] = []
    lost: dict[str, list[str]] = {part: [] for part in lists}
    for part, name in lines:
        found = next((keys[key] for key in _keys(name) if key in keys), [])
        if len(found) > 1:
            several.append(
                f"list {lists[part]}: '{name}' fits {len(found)} images, {_some(found)}; write its folder too"
            )
        elif not found:
            lost[part].append(name)
        elif parts.setdefault(found[0], part) != part:
            crossing.append(f"'{name}' in {parts[found[0]]} and {part}")
    faults = at_most(several)
    if crossing:
        more = f" and {len(crossing) - SHOWN} more" if len(crossing) > SHOWN else ""
        faults.append(
            f"{len(crossing):,} images are in two lists of data.split_lists: {'; '.join(crossing[:SHOWN])}{more}; take "
            "each out of one"
        )
    counts = {part: sum(each == part for each, _ in lines) for part in lists}
    faults += [
        f"list {lists[part]}: none of its {counts[part]:,} names ({_some(lost[part])}) is an image of {root}, whose "
        f"names are such as '{rows['path'].iloc[0] if len(rows) else ''}'; name the list of these images"
        for part in lists
        if len(lost[part]) == counts[part]
    ]
    notes = _notes(rows, lists, parts, lost)
    return rows.assign(split=[parts.get(path, "unused") for path in rows["path"]]), faults, notes


def _notes(
    rows: pd.DataFrame, lists: Mapping[str, Path], parts: Mapping[str, str], lost: Mapping[str, Sequence[str]]
) -> list[str]:
    counts = {part: sum(each == part for each in parts.values()) for part in lists}
    said = ", ".join(f"{lists[part].name} puts {number:,} images into {part}" for part, number in counts.items())
    notes = [f"{said} (data.split_lists)"]
    notes += [
        f"{lists[part].name}: {len(names):,} names are of no image that is read ({_some(names)})"
        for part, names in lost.items()
        if names
    ]
    out = [path for path in rows["path"] if path not in parts]
    notes += [f"{len(out):,} images are in no list of data.split_lists, and are unused ({_some(out)})"] if out else []
    if "split" in rows and rows["split"].any():
        notes.append("the lists of data.split_lists count, and not the split that the images have besides")
    return notes


def _lines(lists: Mapping[str, Path], root: str) -> list[Line]:
    """The names of all lists, in their order, each once."""
    faults: list[str] = []
    found: dict[Line, None] = {}
    for part, file in lists.items():
        path = Path(root) / file
        try:
            with open_regular(path) as opened:
                names = [line.strip() for line in opened.read().decode("utf-8-sig").splitlines()]
        except UnicodeDecodeError:
            faults.append(f"list {path} (data.split_lists.{part}) is not text in UTF-8; save it so")
            continue
        except RequestError as error:
            near = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
            right = nearest(path.name, near)
            faults += [
                f"data.split_lists.{part}: {fault}{right}, or set data.split_lists={{}}" for fault in error.faults
            ]
            continue
        found |= dict.fromkeys((part, name) for name in names if name)
        if not any(names):
            faults.append(f"list {path} (data.split_lists.{part}) is empty; it names an image a line")
    raise_faults(faults)
    return list(found)


def _by_key(paths: pd.Series[str]) -> dict[Line, list[str]]:
    """The paths that each name may stand for, by how it is compared and what it comes to."""
    found: dict[Line, list[str]] = {}
    for path in dict.fromkeys(paths):
        below = split(path)[0]
        whole, *ends = _keys(below)
        found.setdefault(whole, []).append(path)
        while ends:
            for key in ends:
                found.setdefault(key, []).append(path)
            _, slash, below = below.partition("/")
            ends = _keys(below)[1:] if slash else []
    return found


def _keys(name: str) -> list[Line]:
    """How a name is compared, the closest way first: a whole path, an end of one, an end without case and ending."""
    plain = posixpath.normpath(name.replace("\\", "/"))
    folder, last = posixpath.split(plain)
    return [("path", plain), ("end", plain), ("stem", folded(posixpath.join(folder, stem(last))))]


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
