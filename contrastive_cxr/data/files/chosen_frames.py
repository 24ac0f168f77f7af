"""Which frames, slices and files of a series `data.frames` chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence

from contrastive_cxr.data.dicom.headers import Header
from contrastive_cxr.recipe import schema


def chosen_of(frames: str | int | schema.FrameRange, count: int) -> list[int]:
    """Numbers of the chosen ones of `count` frames or slices, from 0, ascending.

    Examples
    --------
    >>> chosen_of("middle", 9), chosen_of(12, 9)
    ([4], [])
    >>> chosen_of(schema.FrameRange(start=25, stop=75, unit="percent", step=2), 20)
    [5, 7, 9, 11, 13]
    """
    if frames == "all":
        return list(range(count))
    if frames == "middle":
        return [count // 2]
    if isinstance(frames, int):
        return [frames] if frames < count else []
    assert isinstance(frames, schema.FrameRange), "the recipe knows no other word"
    share = count / 100 if frames.unit == "percent" else 1.0
    stop = count if frames.stop is None else min(count, math.ceil(frames.stop * share))
    return list(range(int(frames.start * share), stop, frames.step))


def of_series(
    rows: Sequence[int], headers: Sequence[Header | None], frames: str | int | schema.FrameRange | None
) -> tuple[set[int], list[str]]:
    """The rows that `frames` chooses of each DICOM series of slices with a place in the body; others are all kept."""
    if frames is None:
        return set(rows), []
    series: dict[tuple[str, str, str], list[int]] = {}
    for row in dict.fromkeys(rows):
        header = headers[row]
        if header is not None and header.series and header.along is not None and header.frames == 1:
            series.setdefault((header.patient, header.study, header.series), []).append(row)
    stacks = [sorted(found, key=lambda row: _order(headers[row])) for found in series.values() if len(found) > 1]
    out = {row for found in stacks for row in found}
    kept = {found[number] for found in stacks for number in chosen_of(frames, len(found))}
    notes = [f"{len(stacks):,} DICOM series of {len(out):,} slices, of which data.frames chooses {len(kept):,}"]
    return (set(rows) - out) | kept, notes if stacks else []


def _order(header: Header | None) -> tuple[float, int]:
    assert header is not None, "a series is of DICOM files"
    assert header.along is not None, "a series is of files with a position"
    return header.along, header.number
