"""A search as the gallery promises it: ranked by true distances, own patients left out, k filled where it can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contrastive_cxr.metrics.neighbours import distances
from contrastive_cxr.retrieval.index import FACTOR, Allowed, Index
from contrastive_cxr.retrieval.rows import Ids, Vectors

_PAIRS = 4_000_000  # of queries and rows looked at together
_SPARE = 64  # own rows that an approximate search is asked to see past; beyond that it is exact


@dataclass(frozen=True)
class PatientExclusion:
    """Whose rows are left out of which query.

    Attributes
    ----------
    rows : int64 [M], a number for each row's patient, -1 unknown
    queries : int64 [Q], the patient whose rows are passed over; -1 none
    """

    rows: Ids
    queries: Ids

    def counts(self) -> Ids:
        """Rows of each query's own patient, int64 [Q]."""
        known = np.bincount(self.rows[self.rows >= 0], minlength=int(self.queries.max(initial=-1)) + 1)
        return np.where(self.queries >= 0, known[np.maximum(self.queries, 0)] if len(known) else 0, 0)


def nearest(
    index: Index,
    vectors: Vectors,
    queries: Vectors,
    k: int,
    allowed: Allowed = None,
    own: PatientExclusion | None = None,
) -> tuple[Ids, Vectors]:
    """The k nearest allowed rows of each query, nearest first, equal ones by position.

    Parameters
    ----------
    vectors, queries : float32 [M, D], [Q, D], unit length
    k : int
        At most M.
    allowed : bool [M], optional
        Rows that may be found.
    own : Own, optional
        Rows that each query does not count.

    Returns
    -------
    (positions int64 [Q, k], distances float32 [Q, k]); -1 and infinity where no allowed row is left: an approximate
    kind that gives too few is followed by an exact search for those queries.
    """
    skipped = np.zeros(len(queries), np.int64) if own is None else own.counts()
    positions, gaps = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    widest = min(len(vectors), FACTOR[index.kind] * k + int(skipped.max(initial=0)))
    size = max(1, _PAIRS // max(1, widest))
    for first in range(0, len(queries), size):
        part = slice(first, first + size)
        mine = None if own is None else PatientExclusion(own.rows, own.queries[part])
        positions[part], gaps[part] = _some(index, vectors, queries[part], k, allowed, mine, skipped[part])
    return positions, gaps


def _some(
    index: Index,
    vectors: Vectors,
    queries: Vectors,
    k: int,
    allowed: Allowed,
    own: PatientExclusion | None,
    skipped: Ids,
) -> tuple[Ids, Vectors]:
    most = int(skipped.max(initial=0))
    wide = k + most  # k others are among the first k + (the query's own)
    if index.kind == "exact":
        return ranked(vectors, queries, index.nearest(vectors, queries, min(wide, len(vectors)), allowed), k, own)
    count = min(len(vectors), max(FACTOR[index.kind] * k, k + min(most, _SPARE)))
    found, gaps = ranked(vectors, queries, index.nearest(vectors, queries, count, allowed), k, own)
    short = np.flatnonzero(found[:, -1] < 0)
    if len(short):
        again = Index("exact", None, index.keys)
        mine = None if own is None else PatientExclusion(own.rows, own.queries[short])
        found[short], gaps[short] = _some(again, vectors, queries[short], k, allowed, mine, skipped[short])
    return found, gaps


def ranked(vectors: Vectors, queries: Vectors, found: Ids, k: int, own: PatientExclusion | None) -> tuple[Ids, Vectors]:
    """The first k of the found rows by true distance; the query's own and places without a row are -1, behind them."""
    if own is not None:
        barred = (own.rows[found] == own.queries[:, None]) & (own.queries[:, None] >= 0)
        found = np.where(barred, -1, found)
    gaps = distances(vectors, queries, found)
    if found.shape[1] < k:  # the gallery is smaller than that
        lack = ((0, 0), (0, k - found.shape[1]))
        found, gaps = np.pad(found, lack, constant_values=-1), np.pad(gaps, lack, constant_values=np.inf)
    order = np.lexsort((found, gaps), axis=1)[:, :k]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(gaps, order, axis=1)
