"""How images lie in a folder: class folders, the COVID-CT lists (tables: `table_rows`)."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from contrastive_cxr.data.files import contents, named_files, tree
from contrastive_cxr.data.files.listings import listing
from contrastive_cxr.data.tables.columns import SPLITS
from contrastive_cxr.data.tables.text_tables import at_most, read_table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema


class Found(NamedTuple):
    """Rows (path, label, patient?, split?, further columns), faults, and what was recognised, repaired or left out.

    `unowned` is said where the files' headers name no patient for some rows either.
    """

    rows: pd.DataFrame
    faults: list[str]
    notes: tuple[str, ...] = ()
    unowned: tuple[str, ...] = ()


def folders(root: str, source: schema.Source) -> Found:
    """Images below class folders; the label is the names of nested folders (`label_folders` of them) joined by `/`,
    or nothing where no folder is one."""
    levels, notes = source.label_folders, []
    files, of_tree, left = tree.listed(root, source.outside, source.find_by == "content")
    if source.find_by == "content":
        files, without = contents.with_pixels(root, files, source.tags)
        notes = [*tree.words(root, [*left, *without]), *contents.lost(root, without)]
    first = {path.split("/")[0] for path in files if "/" in path}
    splits = {name for name in first if name.lower() in SPLITS and name.lower() != "unused"}
    depth = 1 if splits else 0
    labelled = levels == 0 or source.columns.label is not None  # by no folder
    stray = [path for path in files if path.count("/") <= depth and path.split("/")[0] not in first - splits]
    stray = [] if labelled else stray
    faults = _folder_faults(root, files, splits, first - splits if splits else set(), stray)
    kept = [path.split("/") for path in files if path not in set(stray)]
    labels = ["/".join(parts[depth:-1][:levels]) for parts in kept]
    rows = pd.DataFrame({"path": ["/".join(parts) for parts in kept], "label": labels})
    rows["split"] = [SPLITS.get(parts[0].lower(), "") if depth else "" for parts in kept]
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
            "with a table of labels, use data.source=csv; for images without labels, data.label_folders=0"
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


def allowed(path: str, outside: bool) -> bool:
    """Whether a written path names something below the root, or anything where `outside` allows it."""
    if "\0" in path:
        return False
    if outside:
        return bool(path)
    return not os.path.isabs(path) and posixpath.normpath(path).split("/")[0] not in ("..", ".", "")


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
    resolved = named_files.resolve(list(rows["path"]), listing(str(root)))
    rows = rows.assign(path=resolved.paths)
    faults += [f"a list of {root}: {fault}" for fault in resolved.faults]
    if (root / "patients.csv").is_file():
        table = read_table(root / "patients.csv")
        if not {"file", "patient"} <= set(table):
            raise RequestError(f"{root / 'patients.csv'} needs the columns file and patient; it has {list(table)}")
        patients = dict(zip(table["file"].str.strip(), table["patient"].str.strip(), strict=True))
        rows["patient"] = [patients.get(path, "") for path in rows["path"]]
    return Found(
        rows,
        [*faults, *([] if outside else tree.links_out(root, rows["path"]))],
        (*resolved.notes("Data-split"), *_unlisted(root, rows)),
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
        if name and not allowed(name, outside=False)
    ]
    return [name for name in names if name and allowed(name, outside=False)], at_most(faults)
