"""The range that a source's deeper PNG and TIFF files use: `data.intensity.kind` `auto`."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from contrastive_cxr import cores
from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.data.decoding import decode, picture_files
from contrastive_cxr.data.decoding.intensity import DecodeError, Stored
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import absolute, join, split
from contrastive_cxr.data.files.kinds import HEAD, kind_of
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.files import read_json, write_bytes
from contrastive_cxr.recipe import schema

HEADERS = 128
"""Files of a source whose first bytes are looked at; a source in which none of them is deeper than 8 bits has none."""
MEASURED = 16
"""Deep files of a source whose values are read."""
LEAST = 0.25  # share of a rounded range that has to be in use: 64 grey levels
DEEP = ("TIFF", "JPEG 2000", "PNM")  # kinds whose depth stands farther inside


class Used(NamedTuple):
    """Least and greatest value of a deep picture, the range of its type, and whether it holds floats.

    Examples
    --------
    >>> Used.of(Stored(np.array([[3, 2900]], np.uint16), 0, 65535, container=True))
    Used(least=3.0, most=2900.0, low=0, high=65535, floats=False)
    """

    least: float
    most: float
    low: float
    high: float
    floats: bool

    @classmethod
    def of(cls, stored: Stored) -> Used:
        """What a picture uses."""
        values = stored.values
        return cls(float(values.min()), float(values.max()), stored.low, stored.high, values.dtype.kind == "f")


def found(data: schema.Data, manifest: Manifest) -> schema.Data:
    """The section with `intensity.ranges` found, where it is `auto` and none are given.

    The files of a source are looked at evenly, not one by one: one range holds for all of them, and the same files give
    the same range. It is kept beside the caches, so that a second command does not read the sample again.

    Parameters
    ----------
    data : schema.Data
    manifest : Manifest
        `root`, `path` and `source` are read.
    """
    if data.intensity.kind != "auto" or data.intensity.ranges is not None:
        return data
    ranges = {}
    sources = manifest.column("source")
    for source in sorted(set(sources)):
        rows = np.flatnonzero(sources == source)
        sample = manifest.rows.iloc[rows[evenly(len(rows), HEADERS)]]
        places = zip(sample["root"], sample["path"], strict=True)
        ends = _kept([join(absolute(root), path) for root, path in places], data)
        if ends is not None:
            ranges[source] = ends
    return data.model_copy(update={"intensity": data.intensity.model_copy(update={"ranges": ranges})})


def settled(recipe: schema.Recipe, intensity: schema.Intensity) -> schema.Recipe:
    """The recipe with the ranges that its images were decoded by, as a run records it."""
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"intensity": intensity})})


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of 0..count-1, first and last among them.

    Examples
    --------
    >>> evenly(3, 5), evenly(9, 3)
    ([0, 1, 2], [0, 4, 8])
    """
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def common(pictures_of: Sequence[Used]) -> tuple[float, float]:
    """The range of a source, from what some of its deep pictures use.

    Whole numbers from 0 on are rounded up to whole bits, as detectors have them: 12 bits in 16 are 0..4095, and the
    next file's brightest pixel is no brighter than white; floats within 0..1 are of 0..1. Where less than a
    quarter of that is used, and of signed numbers, the range is from the least to the greatest.

    Parameters
    ----------
    pictures_of : sequence of Used
        Of one source, at least one.

    Examples
    --------
    >>> common([Used(3, 2900, 0, 65535, False), Used(0, 1200, 0, 65535, False)])
    (0.0, 4095.0)
    >>> common([Used(31768, 33768, 0, 65535, False)])
    (31768.0, 33768.0)
    """
    least, most = min(one.least for one in pictures_of), max(one.most for one in pictures_of)
    low, high = min(one.low for one in pictures_of), max(one.high for one in pictures_of)
    if least == most:
        return float(low), float(max(high, most))
    if any(one.floats for one in pictures_of):
        whole = (float(low), float(high))
    elif low < 0:
        return least, most
    else:
        whole = (0.0, max(2.0 ** int(most).bit_length() - 1, 255.0))
    fits = whole[0] <= least and most <= whole[1] and most - least >= (whole[1] - whole[0]) * LEAST
    return whole if fits or whole[1] == 255 else (least, most)


def _kept(files: Sequence[str], data: schema.Data) -> tuple[float, float] | None:
    """The range of a sample of files, as it was kept or measured now; None where none of them is deep."""
    deep = [file for file in files if is_deep(file)]
    sample = [deep[place] for place in evenly(len(deep), MEASURED)]
    place = cache_folder(data.cache_dir) / "ranges" / f"{_digest(sample)}.json"
    known = _read(place) if sample else None
    if known is not None or not sample:
        return known
    with ThreadPoolExecutor(data.workers or cores.available()) as pool:
        measured = [one for one in pool.map(_used, sample) if one is not None]
    if not measured:
        return None
    ends = common(measured)
    with suppress(CcxrError, OSError):  # the cache itself will say what is wrong with its folder
        write_bytes(place, json.dumps(ends).encode())
    return ends


def _read(place: Path) -> tuple[float, float] | None:
    """A range that was kept; None where there is none, or no range in the file."""
    try:
        low, high = read_json(place)
        return (low, high) if -math.inf < float(low) < float(high) < math.inf else None
    except (OSError, ValueError, TypeError):
        return None


def is_deep(address: str) -> bool:
    """Whether a picture has more than 8 bits and says no range of its own; False where it cannot be told."""
    file = split(address)[0]
    try:
        head = reading.content(file, HEAD)
        kind = kind_of(head)
        if kind == "PNG":
            return head[24:25] == b"\x10"  # its depth, in bits
        return kind in DEEP and picture_files.is_deep(
            Path(file) if Path(file).is_file() else BytesIO(reading.content(file))
        )
    except (DecodeError, OSError, ValueError):
        return False


def _used(address: str) -> Used | None:
    """What a deep picture uses; None where it cannot be read or holds no numbers, which decoding then says."""
    try:
        stored = decode.stored_of(address)
    except DecodeError:
        return None
    return Used.of(stored) if stored.container and bool(np.isfinite(stored.values).all()) else None


def _digest(files: Sequence[str]) -> str:
    """A name for a sample: the files, their sizes and times of change."""
    seen = [(file, *_stamp(file)) for file in files]
    return hashlib.sha256(json.dumps([decode.VERSION, seen]).encode()).hexdigest()[:20]


def _stamp(address: str) -> tuple[object, ...]:
    try:
        return tuple(reading.stamp(split(address)[0]))
    except DecodeError:
        return ()
