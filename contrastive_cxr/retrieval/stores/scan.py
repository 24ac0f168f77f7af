"""Exact nearest rows by one pass over a store, for many queries together; a few blocks are in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from contrastive_cxr.metrics.neighbours import distances
from contrastive_cxr.retrieval.rows import Ids, Texts, Vectors

Barred = npt.NDArray[np.bool_]
Blocks = Iterator[tuple[pd.DataFrame, Vectors]]
SPARE = 8  # candidates beyond those that are wanted: products of float32 order close rows by chance


@dataclass
class Nearest:
    """The nearest rows of some queries among the blocks seen so far.

    Attributes
    ----------
    queries : float32 [Q, D]
    k : int
    """

    queries: Vectors
    k: int
    _near: Vectors = field(init=False)
    _ids: Ids = field(init=False)
    _vectors: Vectors = field(init=False)

    def __post_init__(self) -> None:
        shape = (len(self.queries), self.k + SPARE)
        self._near = np.full(shape, -np.inf, np.float32)
        self._ids = np.full(shape, -1, np.int64)
        self._vectors = np.zeros((*shape, self.queries.shape[1]), np.float32)

    def see(self, products: Vectors, ids: Ids, vectors: Vectors, barred: Barred | None = None) -> None:
        """Take in a block: `products` float32 [Q, n] with its vectors [n, D]; `barred` bool [Q, n] are passed over."""
        if barred is not None:
            products = np.where(barred, -np.inf, products)
        width = self._near.shape[1]
        places = np.broadcast_to(np.arange(products.shape[1]), products.shape)
        if products.shape[1] > width:
            places = np.argpartition(-products, width - 1, axis=1)[:, :width]
        taken = np.take_along_axis(products, places, axis=1)
        for query in np.flatnonzero((taken > self._near.min(axis=1, keepdims=True)).any(axis=1)):
            own = places[query][np.isfinite(taken[query])]
            near = np.concatenate([self._near[query], products[query, own]])
            known = np.concatenate([self._ids[query], ids[own]])
            order = np.lexsort((known, -near))[:width]
            held = np.concatenate([self._vectors[query], vectors[own]])
            self._near[query], self._ids[query], self._vectors[query] = near[order], known[order], held[order]

    def found(self) -> tuple[Ids, Vectors]:
        """Ids int64 [Q, k] and true distances float32 [Q, k], nearest first; -1 and infinity where none is left."""
        ids = np.where(np.isfinite(self._near), self._ids, -1)
        return ranked(self.queries, ids, self._vectors, self.k)


def ranked(queries: Vectors, ids: Ids, vectors: Vectors, k: int) -> tuple[Ids, Vectors]:
    """The k nearest of some candidates, by true distance and then by id.

    Parameters
    ----------
    queries : float32 [Q, D]
    ids : int64 [Q, W], -1 where there is none
    vectors : float32 [Q, W, D]
    """
    count, width = ids.shape
    if not width:
        return np.full((count, k), -1, np.int64), np.full((count, k), np.inf, np.float32)
    flat = np.arange(count * width).reshape(count, width)
    gaps = distances(vectors.reshape(count * width, -1), queries, np.where(ids < 0, -1, flat))
    order = np.lexsort((ids, gaps), axis=1)[:, :k]
    ids, gaps = np.take_along_axis(ids, order, axis=1), np.take_along_axis(gaps, order, axis=1)
    lack = ((0, 0), (0, max(0, k - width)))
    return np.pad(ids, lack, constant_values=-1), np.pad(gaps, lack, constant_values=np.inf)


def scan(blocks: Blocks, queries: Vectors, k: int, patients: Sequence[str] | None = None) -> tuple[Ids, Vectors]:
    """The k nearest rows of each query; 2 Q M D operations, and Q (k + 8) vectors in memory.

    Parameters
    ----------
    blocks : of `View.blocks`, with the columns `id` and `patient`
    patients : sequence of str, optional
        One a query, whose rows are passed over; '' passes over none.
    """
    nearest = Nearest(queries, k)
    own = None if patients is None else np.array(patients, dtype=object)[:, None]
    for rows, vectors in blocks:
        barred = None
        if own is not None:
            barred = np.asarray((rows["patient"].to_numpy(dtype=object)[None, :] == own) & (own != ""), dtype=bool)
        nearest.see(queries @ vectors.T, rows["id"].to_numpy(dtype=np.int64), vectors, barred)
    return nearest.found()


def texts(values: Sequence[object]) -> Texts:
    """Values as an array of objects."""
    return np.array(values, dtype=object)
