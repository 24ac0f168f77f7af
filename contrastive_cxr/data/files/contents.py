"""What the files of a source hold: DICOM headers become patients and columns, frames and slices become rows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image, UnidentifiedImageError

from contrastive_cxr.data.decoding import volumes
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.dicom.headers import (
    IDENTIFYING,
    Header,
    check_tags,
    hashed,
    header_of,
    listed_in,
    patient_key,
)
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import FRAME, Inside, join, parted, split
from contrastive_cxr.data.files.chosen_frames import chosen_of, of_series
from contrastive_cxr.data.tables.text_tables import at_most
from contrastive_cxr.recipe import schema

# Files with these endings are no DICOM files, and are not opened to be asked for a header.
OTHER_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".nii", ".nii.gz", ".nrrd")
TIFF_ENDINGS = (".tif", ".tiff")
MOST_PAGES = 10_000
SHOWN = 3


class Described(NamedTuple):
    """Rows with what their files say, faults, and sentences about what was left out or divided."""

    rows: pd.DataFrame
    faults: list[str]
    notes: list[str]


def described(rows: pd.DataFrame, root: str, source: schema.Source, keys: Path) -> Described:
    """Rows of a layout, and what their files hold besides one picture.

    A DICOM file's PatientID is the row's patient where the layout knows none (the study, else the series, where the
    file has none), its `source.tags` are columns. Of files with several frames, volumes and DICOM series those that
    `source.frames` names become rows; their patient is the file where nothing else is known.

    Parameters
    ----------
    rows : DataFrame
        `path`, `patient` and whatever else the layout gives.
    root : str
        Folder, archive or URL.
    keys : Path
        Folder of the key that patients are hashed with.
    """
    rows = rows.reset_index(drop=True)
    tags = source.tags
    headers = [_header(root, path, tags) for path in rows["path"]]
    faults = check_tags(tags) if any(headers) else []
    rows = _named(rows, headers, source, tags, keys)
    notes = _unnamed(headers, root)
    found = _divided(rows, headers, root, source)
    return Described(found.rows, [*faults, *found.faults], [*notes, *found.notes])


def _header(root: str, path: str, tags: tuple[str, ...]) -> Header | None:
    file = split(path)[0]
    return None if file.lower().endswith(OTHER_ENDINGS) else header_of(join(root, file), tags)


def with_pixels(root: str, files: Sequence[str], tags: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Image files without the DICOM files that hold no picture, and those with their kind, as `tree.Listed.left`."""
    kept, left = [], []
    for name in files:
        header = _header(root, name, tuple(tags))
        if header is None or (header.image and not header.directory):
            kept.append(name)
        else:
            left.append((name, "DICOMDIR" if header.directory else "DICOM (without pixels)"))
    return kept, left


def addresses(root: str, names: Sequence[str], source: schema.Source) -> tuple[list[str], list[str], list[str]]:
    """Addresses of the pictures of some files below `root`, in their order; faults, and notes as of `described`."""
    rows = pd.DataFrame({"path": list(names), "patient": ""}, dtype=object)
    found = _divided(rows, [_header(root, name, ()) for name in names], root, source)
    return list(found.rows["path"]), found.faults, found.notes


def lost(root: str, left: Sequence[tuple[str, str]]) -> list[str]:
    """Notes on the DICOMDIRs among the files left out that name files which are not there."""
    return [note for name, kind in left if kind == "DICOMDIR" for note in _missing(root, name)]


def _missing(root: str, directory: str) -> list[str]:
    """A note where a DICOMDIR names files that are not there: the disc was copied in part."""
    folder = parted(directory)[0]
    gone = []
    for name in listed_in(join(root, directory)):
        try:
            reading.stamp(join(root, join(folder, name) if folder else name))
        except DecodeError:
            gone.append(name)
    if not gone:
        return []
    return [f"{join(root, directory)} names {len(gone):,} files that are not there ({_shown(gone)})"]


def _named(
    rows: pd.DataFrame, headers: Sequence[Header | None], source: schema.Source, tags: Sequence[str], keys: Path
) -> pd.DataFrame:
    """The rows with patients and columns from their headers; columns of the layout itself stay."""
    if not any(headers):
        return rows
    hide = source.patient_ids == "hashed"
    key = patient_key(keys) if hide else b""

    def shown(text: str) -> str:
        return hashed(text, key) if hide else text

    def patient(known: str, header: Header | None) -> str:
        return known if known or header is None else shown(header.patient or header.study or header.series)

    rows = rows.assign(patient=[patient(*pair) for pair in zip(rows["patient"], headers, strict=True)])
    for number, tag in enumerate(tags):
        if tag not in rows:
            values = ["" if header is None else header.values[number] for header in headers]
            rows[tag] = [shown(value) for value in values] if tag in IDENTIFYING else values
    return rows


def _unnamed(headers: Sequence[Header | None], root: str) -> list[str]:
    """Notes on DICOM files without a PatientID."""
    without = [header for header in headers if header is not None and not header.patient]
    known = sum(bool(header.study or header.series) for header in without)
    counts = {
        "no PatientID; the study, else the series, stands for the patient": known,
        "no PatientID, study or series, so nothing is known of the patient": len(without) - known,
    }
    return [
        f"{count:,} DICOM file{'s' * (count != 1)} of {root} {'have' if count != 1 else 'has'} {words}"
        for words, count in counts.items()
        if count
    ]


def _divided(rows: pd.DataFrame, headers: Sequence[Header | None], root: str, source: schema.Source) -> Described:
    """The rows with frames and slices in the place of files that hold several, and with the chosen part of series."""
    paths = rows["path"].tolist()
    held = [_pictures(path, header, root, source) for path, header in zip(paths, headers, strict=True)]
    if not any(headers) and all(way is None for way, _ in held):
        return Described(rows, [], [])
    chosen: list[tuple[int, str]] = []
    several, divided, none, unsaid = 0, 0, [], []
    for row, (path, (way, count)) in enumerate(zip(paths, held, strict=True)):
        if way is None:
            chosen.append((row, path))
        elif source.frames is None:
            unsaid.append(path)
        else:
            numbers = chosen_of(source.frames, count)
            several, divided = several + 1, divided + len(numbers)
            none += [] if numbers else [f"{path}, which has {count}"]
            chosen += [(row, f"{path}{Inside(way, number)}") for number in numbers]
    kept, notes = of_series([row for row, _ in chosen], headers, source.frames)
    chosen = [pair for pair in chosen if pair[0] in kept]
    faults = [f"data.frames: names no picture of {len(none)} files of {root}, such as {none[0]}"] if none else []
    if unsaid:
        faults.append(
            f"{len(unsaid)} volumes of {root} hold several slices ({_shown(unsaid)}); say which are read with "
            "data.frames=all, middle, a number or {start: 25, stop: 75, unit: percent}, and in which direction with "
            "data.axis (where there is no recipe: --frames, --axis)"
        )
    if several:
        notes.append(f"{several:,} files of {root} hold several pictures, of which data.frames chooses {divided:,}")
    places = [row for row, _ in chosen]
    found = rows if places == list(range(len(rows))) else rows.iloc[places].reset_index(drop=True)
    owners = [
        known or (split(path)[0] if path != paths[row] else "")
        for known, (row, path) in zip(found["patient"], chosen, strict=True)
    ]
    return Described(found.assign(path=[path for _, path in chosen], patient=owners), at_most(faults), notes)


def _pictures(path: str, header: Header | None, root: str, source: schema.Source) -> tuple[str | None, int]:
    """Frame or axis, and how many there are, of a file that holds several pictures; None where it is one picture.

    A file that cannot be read is one picture here: decoding says what is wrong with it.
    """
    if split(path)[1] is not None:
        return None, 1
    file = join(root, path)
    try:
        if header is not None:
            several = source.frames is not None and header.frames > 1
            return (FRAME, header.frames) if several else (None, 1)
        if path.lower().endswith(TIFF_ENDINGS):
            pages = 1 if source.frames is None else _pages(file)
            return (FRAME, pages) if pages > 1 else (None, 1)
        if not path.lower().endswith(OTHER_ENDINGS[:8]) and volumes.is_volume(file):
            return source.axis, 1 if source.frames is None else volumes.count(file, source.axis)
    except DecodeError:
        pass
    return None, 1


def _pages(file: str) -> int:
    """Pictures of a TIFF file, counted up to `MOST_PAGES`; 1 where it cannot be read."""
    pages = 1
    try:
        with Image.open(io.BytesIO(reading.content(file)), formats=("TIFF",)) as image:
            while pages < MOST_PAGES:
                image.seek(pages)
                pages += 1
    except (OSError, EOFError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        pass
    return pages


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
