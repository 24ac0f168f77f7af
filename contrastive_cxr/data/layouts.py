"""How images lie in a folder: class folders, a CSV table, the COVID-CT lists."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from contrastive_cxr.data import contents, tree
from contrastive_cxr.data.tables import at_most, read_table
from contrastive_cxr.data.tree import ALLOW
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe import schema

SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLIT_WORDS |= {"test": "test", "testing": "test", "unused": "unused"}
FILE_WORDS = ("file", "filename", "path", "image")


class Found(NamedTuple):
    """Rows (path, label, patient?, split?, extras), faults, and sentences about what was left out."""

    rows: pd.DataFrame
    faults: list[str]
    notes: tuple[str, ...] = ()


def folders(root: str, source: schema.Source) -> Found:
    """Images below class folders; the label is the names of nested folders (`label_folders` of them) joined by `/`."""
    levels, notes = source.label_folders, []
    files, of_tree, left = tree.listed(root, source.outside, source.find_by == "content")
    if source.find_by == "content":
        files, without = contents.with_pixels(root, files, source.tags)
        notes = [*tree.words(root, [*left, *without]), *contents.lost(root, without)]
    first = {path.split("/")[0] for path in files if "/" in path}
    splits = {name for name in first if name.lower() in SPLIT_WORDS and name.lower() != "unused"}
    depth = 1 if splits else 0
    stray = [path for path in files if path.count("/") <= depth and path.split("/")[0] not in first - splits]
    faults = _folder_faults(root, files, splits, first - splits if splits else set(), stray)
    kept = [path.split("/") for path in files if path not in set(stray)]
    labels = ["/".join(parts[depth:-1][:levels]) for parts in kept]
    rows = pd.DataFrame({"path": ["/".join(parts) for parts in kept], "label": labels})
    rows["split"] = [SPLIT_WORDS.get(parts[0].lower(), "") if depth else "" for parts in kept]
    return Found(rows, [*of_tree, *faults], tuple(notes))


def _folder_faults(root: str, files: list[str], splits: set[str], beside: set[str], stray: list[str]) -> list[str]:
    """Faults of a tree: split folders with other folders `beside` them, no class folders, `stray` images in none."""
    faults = []
    if beside:
        faults.append(
            f"{root} mixes split folders {sorted(splits)} and other folders {sorted(beside)}; have either "
            "train/CLASS, val/CLASS, test/CLASS, or CLASS alone"
        )
    if not files or len(stray) == len(files):
        faults.append(
            f"{root} has no class folders with images: expected CLASS/IMAGE or train/CLASS/IMAGE; found {_seen(root)}; "
            "with a table of labels, use data.source=csv"
        )
    elif stray:
        faults.append(
            f"{len(stray)} images of {root} lie in no class folder (such as '{stray[0]}'); move them into one or away"
        )
    return faults


def _seen(root: str | Path) -> str:
    folder = Path(root)
    if not folder.is_dir():
        return "no such folders"
    names = sorted(f"{child.name}/" if child.is_dir() else child.name for child in folder.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def csv(root: Path, table: Path, outside: bool = False) -> Found:
    """Rows of a CSV table: file, label, optional patient and split, extra columns kept; `outside`: files anywhere."""
    if not table.is_file():
        near = sorted(path.name for path in root.glob("*.csv"))
        raise RequestError(f"table {table} is missing; set data.csv to a table relative to {root}, which has {near}")
    rows = _renamed(read_table(table), table)
    for column in {"path", "label", "patient", "split"} & set(rows):
        rows[column] = rows[column].str.strip()
    faults = _row_faults(rows, table, outside)
    if "split" in rows:
        rows["split"] = [SPLIT_WORDS.get(word.lower(), "") for word in rows["split"]]
    rows = rows[[_allowed(path, outside) for path in rows["path"]]]
    rows = rows.assign(path=[posixpath.normpath(path) for path in rows["path"]])
    return Found(rows, [*faults, *([] if outside else tree.links_out(root, rows["path"]))])


def _renamed(rows: pd.DataFrame, table: Path) -> pd.DataFrame:
    """The table with the manifest's column names, whatever their case and the spaces around them."""
    columns = [str(column).strip() for column in rows]
    names = {column.lower(): column for column in reversed(columns)}
    file = next((names[word] for word in FILE_WORDS if word in names), None)
    if file is None or "label" not in names:
        hint = " (columns are separated by commas)" if len(names) == 1 else nearest("label", set(names) - {"label"})
        raise RequestError(
            f"{table} needs the columns file and label, and may have patient and split; it has {columns}{hint}"
        )
    if rows.empty:
        raise RequestError(f"{table} has no rows; give one row an image")
    chosen = {file: "path"} | {names[word]: word for word in ("label", "patient", "split") if word in names}
    columns = [chosen.get(column, column) for column in columns]
    reserved = {column for column in columns if column in ("root", "source") or columns.count(column) > 1}
    if reserved:
        raise RequestError(f"{table} has columns {sorted(reserved)} that the manifest keeps for itself; rename them")
    return rows.set_axis(columns, axis=1)


def _allowed(path: str, outside: bool) -> bool:
    """Whether a written path names something below the root, or anything where `outside` allows it."""
    if "\0" in path:
        return False
    if outside:
        return bool(path)
    return not os.path.isabs(path) and posixpath.normpath(path).split("/")[0] not in ("..", ".", "")


def _row_faults(rows: pd.DataFrame, table: Path, outside: bool) -> list[str]:
    """Faults of a table's cells, with the row's number counted from 1 below the header."""
    faults = []
    for number, (path, label) in enumerate(zip(rows["path"], rows["label"], strict=True), start=1):
        if not path:
            faults.append(f"{table} row {number}: the file is empty; every row names an image")
        elif not _allowed(path, outside):
            faults.append(
                f"{table} row {number}: file '{path}' is not inside the root; write it relative to the root, {ALLOW}"
            )
        if not label:
            faults.append(f"{table} row {number}: the label of '{path}' is empty; every image has a label")
    if "split" in rows and (rows["split"] != "").any():
        for number, word in enumerate(rows["split"], start=1):
            if word.lower() not in SPLIT_WORDS:
                right = nearest(word.lower(), SPLIT_WORDS)
                faults.append(f"{table} row {number}: split '{word}' is not train, val, test or unused{right}")
    return at_most(faults)


def covid_ct(root: Path, outside: bool = False) -> Found:
    """The COVID-CT layout; images that no list names are left out; `outside`: links may lead out of the root."""
    parts, faults = [], []
    for label, name in (("CT_COVID", "COVID"), ("CT_NonCOVID", "NonCOVID")):
        for split in ("train", "val", "test"):
            listed = root / "Data-split" / name / f"{split}{label}.txt"
            if listed.is_file():
                files, of_list = _list(listed)
                faults += of_list
                parts.append(
                    pd.DataFrame({"path": [f"{label}/{file}" for file in files], "label": label, "split": split})
                )
    if not parts:
        raise RequestError(
            f"{root} is not laid out as COVID-CT: expected CT_COVID/, CT_NonCOVID/ and lists such as "
            f"Data-split/COVID/trainCT_COVID.txt; found {_seen(root)}"
        )
    rows = pd.concat(parts, ignore_index=True)
    for label in sorted(set(rows["label"])):
        if not (root / label).is_dir():
            faults.append(f"{root} has lists of {label} images but no folder {label}/; found {_seen(root)}")
            rows = rows[rows["label"] != label]
    if (root / "patients.csv").is_file():
        table = read_table(root / "patients.csv")
        if not {"file", "patient"} <= set(table):
            raise RequestError(f"{root / 'patients.csv'} needs the columns file and patient; it has {list(table)}")
        patients = dict(zip(table["file"].str.strip(), table["patient"].str.strip(), strict=True))
        rows["patient"] = [patients.get(path, "") for path in rows["path"]]
    return Found(
        rows, [*faults, *([] if outside else tree.links_out(root, rows["path"]))], tuple(_unlisted(root, rows))
    )


def _unlisted(root: Path, rows: pd.DataFrame) -> list[str]:
    """A sentence about the images that no list names."""
    known = set(rows["path"])
    names = [
        f"{label}/{name}"
        for label in sorted(set(rows["label"]))
        for name in tree.listed(str(root / label), outside=True).files
        if f"{label}/{name}" not in known
    ]
    shown = ", ".join(names[: tree.SHOWN]) + (", ..." if len(names) > tree.SHOWN else "")
    return [f"{len(names):,} images of {root} are in no list, and are left out ({shown})"] if names else []


def _list(path: Path) -> tuple[list[str], list[str]]:
    """The names in a list, one a line, and the faults of those that are no names of files."""
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"list {path} cannot be read as text in UTF-8: {error}") from None
    faults = [
        f"list {path} line {number}: '{name}' is not the name of a file in its folder; write the name alone"
        for number, name in enumerate(names, start=1)
        if name and not _allowed(name, outside=False)
    ]
    return [name for name in names if name and _allowed(name, outside=False)], at_most(faults)
