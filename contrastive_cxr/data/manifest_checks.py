"""What a manifest's files and parts have to be: each file there, no image and no patient in two parts."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

import pandas as pd

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import is_url, join, split
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.tables.text_tables import at_most


def check_files(manifest: Manifest) -> list[str]:
    """Faults of files that are missing, no file, or empty, each named (at most 20, then a count)."""
    places = zip(manifest.column("root"), manifest.column("path"), strict=True)
    files = dict.fromkeys(join(root, split(path)[0]) for root, path in places)
    return at_most([fault for file in files if (fault := _file_fault(file))])


def _file_fault(file: str) -> str:
    """What is wrong with an image's file, which is not opened; ''."""
    out = "or take its row out of the data"
    try:
        seen = None if is_url(file) else os.stat(file)
    except (FileNotFoundError, NotADirectoryError):
        if not reading.in_archive(file)[0]:
            return f"image {file} is missing; restore it {out}"
        seen = None
    except (OSError, ValueError) as error:  # a name too long, a loop of links, a folder that is closed, a NUL byte
        reason = getattr(error, "strerror", None) or str(error)
        return f"image {file} cannot be reached ({reason}); mend it {out}"
    try:
        size = reading.stamp(file)[0] if seen is None else seen.st_size
    except DecodeError as error:
        return f"image {file} {error.reason}; mend it {out}"
    if seen is not None and stat.S_ISDIR(seen.st_mode):
        return f"image {file} is a folder; a row names an image file"
    if seen is not None and not stat.S_ISREG(seen.st_mode):
        return f"image {file} is a pipe or device; a row names an image file"
    return "" if size else f"image {file} is empty (0 bytes); restore it or take it out of the data"


def check_leaks(
    digests: Iterable[str], patients: Iterable[str], split: Iterable[str], paths: Iterable[str] | None = None
) -> list[str]:
    """Faults of images (equal content) and patients that stand in two of train, val and test.

    Parameters
    ----------
    digests, patients, split : str [N]
        Content digest, patient and part of each row; an empty digest or patient is unknown and matches nothing.
    paths : str [N], optional
        Names of the rows, for the sentence; the digests where not given.
    """
    table = pd.DataFrame({"image": list(digests), "patient": list(patients), "part": list(split)}, dtype=object)
    table["name"] = table["image"] if paths is None else list(paths)
    table = table[table["part"].isin(["train", "val", "test"])]
    faults = []
    for column, noun in (("image", "images (equal in content)"), ("patient", "patients")):
        known = table[table[column] != ""]
        parts = known.groupby(column, sort=True)["part"].agg(lambda part: ", ".join(sorted(set(part))))
        leaks = parts[parts.str.contains(",", regex=False)]
        if len(leaks):
            named = [_leak(known[known[column] == key], key, column) for key in leaks.index[:3]]
            more = f" and {len(leaks) - 3} more" if len(leaks) > 3 else ""
            faults.append(
                f"{len(leaks)} {noun} are in two parts of the split, so its scores would be too good: "
                f"{'; '.join(named)}{more}; take them out of one part, or divide anew with "
                "data.split.kind=within-train or fractions"
            )
    return faults


def _leak(rows: pd.DataFrame, key: str, column: str) -> str:
    parts = rows.drop_duplicates("part")
    if column == "patient":
        return f"patient '{key}' in " + " and ".join(sorted(parts["part"]))
    return " = ".join(f"{name} in {part}" for name, part in zip(parts["name"], parts["part"], strict=True))
