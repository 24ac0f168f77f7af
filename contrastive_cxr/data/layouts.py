"""How images lie in a folder: class folders, a CSV table, the COVID-CT lists."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

import pandas as pd

from contrastive_cxr.data.manifest import at_most, read_table
from contrastive_cxr.errors import RequestError, nearest

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLIT_WORDS |= {"test": "test", "testing": "test", "unused": "unused"}
FILE_WORDS = ("file", "filename", "path", "image")

Found = tuple[pd.DataFrame, list[str]]  # rows (path, label, patient?, split?, extras) and faults


def folders(root: Path) -> Found:
    """Images below class folders; the label is the nested folders' names joined by `/`."""
    files, loops = _image_files(root)
    first = {path.split("/")[0] for path in files if "/" in path}
    splits = {name for name in first if name.lower() in SPLIT_WORDS and name.lower() != "unused"}
    depth = 1 if splits else 0
    stray = [path for path in files if path.count("/") <= depth and path.split("/")[0] not in first - splits]
    faults = _folder_faults(root, files, splits, first - splits if splits else set(), stray)
    kept = [path.split("/") for path in files if path not in set(stray)]
    rows = pd.DataFrame({"path": ["/".join(parts) for parts in kept], "label": ["/".join(p[depth:-1]) for p in kept]})
    rows["split"] = [SPLIT_WORDS.get(parts[0].lower(), "") if depth else "" for parts in kept]
    return rows, [*loops, *faults]


def _folder_faults(root: Path, files: list[str], splits: set[str], beside: set[str], stray: list[str]) -> list[str]:
    """Faults of a tree: split folders with other folders `beside` them, no class folders, `stray` images in none."""
    faults = []
    if beside:
        faults.append(
            f"{root} mixes split folders {sorted(splits)} and other folders {sorted(beside)}; have either "
            "train/CLASS, val/CLASS, test/CLASS, or CLASS alone"
        )
    if not files or len(stray) == len(files):
        faults.append(
            f"{root} has no class folders with images: expected CLASS/IMAGE or train/CLASS/IMAGE with the endings "
            f"{', '.join(IMAGE_ENDINGS)}; found {_seen(root)}; with a table of labels, use data.source=csv"
        )
    elif stray:
        faults.append(
            f"{len(stray)} images of {root} lie in no class folder (such as '{stray[0]}'); move them into one or away"
        )
    return faults


def _image_files(root: Path) -> tuple[list[str], list[str]]:
    """Files with an image's ending, relative to `root` with `/`, sorted, not hidden; and a fault a loop of links.

    Links to files and folders are followed, also to those outside the root.
    """
    found, loops = [], []
    for folder, names, files in os.walk(root, followlinks=True):
        here, inside = Path(folder), Path(folder).relative_to(root)
        real = here.resolve()
        around = {real, *real.parents}
        circular = [name for name in names if (here / name).is_symlink() and (here / name).resolve() in around]
        loops += [
            f"{here / name} is a link to {(here / name).resolve()}, which it lies in, so there would be no end to it; "
            "remove the link"
            for name in circular
        ]
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in circular)
        found += [
            (inside / name).as_posix()
            for name in files
            if not name.startswith(".") and name.lower().endswith(IMAGE_ENDINGS)
        ]
    return sorted(found), at_most(loops)


def _seen(root: Path) -> str:
    names = sorted(f"{child.name}/" if child.is_dir() else child.name for child in root.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def csv(root: Path, table: Path) -> Found:
    """Rows of a CSV table: file, label, optional patient and split, extra columns kept."""
    if not table.is_file():
        near = sorted(path.name for path in root.glob("*.csv"))
        raise RequestError(f"table {table} is missing; set data.csv to a table relative to {root}, which has {near}")
    rows = _renamed(read_table(table), table)
    for column in {"path", "label", "patient", "split"} & set(rows):
        rows[column] = rows[column].str.strip()
    faults = _row_faults(rows, table)
    rows["path"] = [posixpath.normpath(path) for path in rows["path"]]
    if "split" in rows:
        rows["split"] = [SPLIT_WORDS.get(word.lower(), "") for word in rows["split"]]
    return rows[[_inside(path) for path in rows["path"]]], faults


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


def _inside(path: str) -> bool:
    """Whether a written path names something below the root."""
    return not os.path.isabs(path) and posixpath.normpath(path).split("/")[0] not in ("..", ".", "")


def _row_faults(rows: pd.DataFrame, table: Path) -> list[str]:
    """Faults of a table's cells, with the row's number counted from 1 below the header."""
    faults = []
    for number, (path, label) in enumerate(zip(rows["path"], rows["label"], strict=True), start=1):
        if not _inside(path):
            faults.append(f"{table} row {number}: file '{path}' is not inside the root; write it relative to the root")
        if not label:
            faults.append(f"{table} row {number}: the label of '{path}' is empty; every image has a label")
    if "split" in rows and (rows["split"] != "").any():
        for number, word in enumerate(rows["split"], start=1):
            if word.lower() not in SPLIT_WORDS:
                right = nearest(word.lower(), SPLIT_WORDS)
                faults.append(f"{table} row {number}: split '{word}' is not train, val, test or unused{right}")
    return at_most(faults)


def covid_ct(root: Path) -> Found:
    """The COVID-CT layout; images that no list names are left out."""
    parts, faults = [], []
    for label, name in (("CT_COVID", "COVID"), ("CT_NonCOVID", "NonCOVID")):
        for split in ("train", "val", "test"):
            listed = root / "Data-split" / name / f"{split}{label}.txt"
            if listed.is_file():
                files = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
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
    return rows, faults
