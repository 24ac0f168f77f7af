"""The nearest allowed gallery rows of each query, to any depth: exact, in blocks, on all cores, in bounded memory.

A block of queries is one matrix product. Of each row of it only the part that is asked for is found (a partition) and
brought into order, so that a depth of a third of the gallery costs about as much as the product itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import cores
from contrastive_cxr.metrics.statistics.weighted import Ints

Vectors = NDArray[np.float32]
BLOCK_BYTES = 64 * 2**20  # of similarities held at once
_SIGN, _LARGEST, _POSITION = np.uint32(1 << 31), np.uint32((1 << 31) - 1), np.uint64((1 << 32) - 1)
_LOW = 0 if sys.byteorder == "little" else 1  # which half of a number of 64 bits comes first


@dataclass(frozen=True)
class Ranked:
    """The nearest allowed rows of one query, nearest first; equal similarities by position.

    Attributes
    ----------
    rows : int64 [K], positions in the gallery
    similarity : float32 [M], of every row of the gallery; only lent, and -inf where a row is excluded
    available : allowed rows in all, K or more
    """

    rows: Ints
    similarity: Vectors
    available: int


class Members:
    """The gallery rows with the same identity as a query, found without looking through all of them.

    Parameters
    ----------
    gallery, queries : int64 [M], [Q], -1 unknown
    """

    def __init__(self, gallery: Ints, queries: Ints) -> None:
        self._order = np.argsort(gallery, kind="stable")
        known = gallery[self._order]
        self._first = np.searchsorted(known, queries)
        self._end = np.where(queries < 0, self._first, np.searchsorted(known, queries, side="right"))

    def rows(self, query: int) -> Ints:
        """Positions int64 [n]; none for an unknown identity."""
        return self._order[self._first[query] : self._end[query]]


def ranked(
    gallery: Vectors,
    queries: Vectors,
    excluded: Callable[[int], Ints],
    depth: Callable[[int, Ints], int],
    take: Callable[[int, Ranked], None],
) -> None:
    """Call `take(query, Ranked)` once for each query, from several threads and in any order.

    Parameters
    ----------
    gallery, queries : float32 [M, D], [Q, D], of which the inner product is the similarity
    excluded : gives a query's rows that do not count, each once
    depth : gives the neighbours wanted, from the query and its excluded rows; fewer are given where fewer are allowed
    take : must write to places of its own query alone

    Notes
    -----
    Costs 2 Q M D operations and some 64 MiB beside the arrays, plus 20 bytes a gallery row and thread.
    """
    ranked_blocks(_blocks(gallery, queries), excluded, depth, take)


def ranked_blocks(
    blocks: Iterable[tuple[int, Vectors]],
    excluded: Callable[[int], Ints],
    depth: Callable[[int, Ints], int],
    take: Callable[[int, Ranked], None],
) -> None:
    """As `ranked`, of similarities that are there.

    Parameters
    ----------
    blocks : of (int, float32 [B, M])
        The first query of each block and its similarities, which are written to.
    """

    def one(query: int, similarity: Vectors) -> None:
        barred = excluded(query)
        allowed = len(similarity) - len(barred)
        similarity[barred] = -np.inf
        front = _front(similarity, min(depth(query, barred), allowed))
        take(query, Ranked(front, similarity, allowed))

    def some(rows: range, block: Vectors, first: int) -> None:
        for row in rows:
            one(first + row, block[row])

    threads = cores.threads()
    with ThreadPoolExecutor(threads) as pool:
        for first, block in blocks:
            parts = [range(start, len(block), threads) for start in range(threads)]
            list(pool.map(lambda rows, held=block, start=first: some(rows, held, start), parts))


def _blocks(gallery: Vectors, queries: Vectors) -> Iterator[tuple[int, Vectors]]:
    """First query and similarities float32 [B, M] of each block; the array is used again for the next."""
    size = max(1, BLOCK_BYTES // (4 * max(1, len(gallery))))
    held = np.empty((min(size, len(queries)), len(gallery)), np.float32)
    for first in range(0, len(queries), size):
        part = queries[first : first + size]
        yield first, np.matmul(part, gallery.T, out=held[: len(part)])


def _front(similarity: Vectors, count: int) -> Ints:
    """Positions of the `count` largest of float32 [M], largest first, ties by position; excluded ones are -inf."""
    rows = len(similarity)
    if not count:
        return np.empty(0, np.int64)
    least = similarity.min() if count == rows else np.partition(similarity, rows - count)[rows - count]
    near = (similarity >= least).nonzero()[0]
    bits = similarity.take(near, mode="clip").view(np.uint32)
    # One number to sort by: above, the similarity as a whole number that falls as it grows; below, the position.
    keys = np.empty(len(near), np.uint64)
    halves = keys.view(np.uint32)
    halves[_LOW::2] = near
    if least > 0:  # bits of positive numbers are in their order
        np.subtract(_LARGEST, bits, out=halves[1 - _LOW :: 2])
    else:
        bits = np.where(bits == _SIGN, np.uint32(0), bits)  # there is one zero
        halves[1 - _LOW :: 2] = np.where(bits & _SIGN, bits, _LARGEST - bits)
    keys.sort()
    return (keys[:count] & _POSITION).view(np.int64)
