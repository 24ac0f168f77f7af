"""The nearest rows of every row of a gallery: for the map, for the vote that a label is compared with, for copies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import terminal
from contrastive_cxr.retrieval import Gallery
from contrastive_cxr.retrieval.near import PatientExclusion, nearest

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
WIDE, VOTERS = 45, 10
"""Nearest rows for the map (three times its perplexity), and those that vote."""
_BLOCK = 2048


class Near(NamedTuple):
    """Nearest rows, nearest first; -1 and infinity where there is none.

    Attributes
    ----------
    rows, gaps : int64 [M, 45], float32 [M, 45], all other rows
    others, other_gaps : int64 [M, 10], float32 [M, 10], rows of other patients; of an unknown patient all other rows
    """

    rows: Ints
    gaps: Floats
    others: Ints
    other_gaps: Floats


def near_rows(gallery: Gallery) -> Near:
    """Every row's nearest rows, by the gallery's index. 50,000 rows of 128 numbers take about 20 s on 2 cores."""
    count = len(gallery)
    wide, voters = min(WIDE, count - 1), min(VOTERS, count - 1)
    patients = _numbers(gallery)
    found = Near(_none(count, wide), _far(count, wide), _none(count, voters), _far(count, voters))
    for first in range(0, count, _BLOCK):
        part = np.arange(first, min(first + _BLOCK, count))
        terminal.share(first, count)
        queries = np.ascontiguousarray(gallery.vectors[part])
        rows, gaps = nearest(gallery.index, gallery.vectors, queries, wide + 1)
        found.rows[part], found.gaps[part] = without(rows, gaps, part, wide)
        own = PatientExclusion(patients, patients[part])
        rows, gaps = nearest(gallery.index, gallery.vectors, queries, voters + 1, own=own)
        found.others[part], found.other_gaps[part] = without(rows, gaps, part, voters)
    return found


def without(rows: Ints, gaps: Floats, own: Ints, count: int) -> tuple[Ints, Floats]:
    """The first `count` of the found rows that are not the query itself.

    Examples
    --------
    >>> near = without(np.array([[4, 0, 2], [1, 3, -1]]), np.zeros((2, 3), np.float32), np.array([0, 1]), 2)
    >>> near[0].tolist()
    [[4, 2], [3, -1]]
    """
    last = (rows == own[:, None]) | (rows < 0)
    order = np.argsort(last, axis=1, kind="stable")[:, :count]
    kept = np.take_along_axis(np.where(last, -1, rows), order, axis=1)
    return kept, np.where(kept < 0, np.inf, np.take_along_axis(gaps, order, axis=1)).astype(np.float32)


def votes(labels: NDArray[np.object_], others: Ints) -> tuple[NDArray[np.object_], Floats, Floats]:
    """What the neighbours of each row are called most often.

    Parameters
    ----------
    labels : str [M]; '' unknown, which has no vote
    others : int64 [M, K] of `Near`

    Returns
    -------
    str [M], the most frequent label of the neighbours, of equally frequent ones that of the nearer; '' without any
    float32 [M], its share among those with a label; NaN without any
    float32 [M], the share of the row's own label
    """
    names = sorted(set(labels) - {""})
    numbers = np.searchsorted(names, labels) if names else np.zeros(len(labels), np.int64)
    numbers = np.where(labels == "", -1, numbers)
    told = np.where(others >= 0, numbers[others], -1)
    weight = 1 - np.arange(others.shape[1]) * 1e-4  # the nearer counts where two are equally frequent
    sums = np.stack([((told == each) * weight).sum(axis=1) for each in range(len(names))] or [np.zeros(len(labels))], 1)
    counted = (told >= 0).sum(axis=1)
    best = sums.argmax(axis=1)
    rows = np.arange(len(labels))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(counted > 0, (told == best[:, None]).sum(axis=1) / counted, np.nan)
        same = (told == np.where(numbers < 0, -2, numbers)[:, None]).sum(axis=1) / counted
    said = np.array([names[each] if counted[row] else "" for row, each in zip(rows, best, strict=True)], dtype=object)
    return said, share.astype(np.float32), np.where(counted > 0, same, np.nan).astype(np.float32)


def _numbers(gallery: Gallery) -> Ints:
    patients = gallery.rows["patient"]
    return np.asarray(patients.where(patients != "").factorize()[0], dtype=np.int64)


def _none(count: int, width: int) -> Ints:
    return np.full((count, width), -1, np.int64)


def _far(count: int, width: int) -> Floats:
    return np.full((count, width), np.inf, np.float32)
