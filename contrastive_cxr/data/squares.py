"""The cached pixels of a data set's rows, and what is counted over them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.shards.order import Layout
from contrastive_cxr.data.shards.store import ShardStore

BLOCK = 64  # images whose pixels are counted at once


@dataclass(frozen=True, eq=False)
class Squares:
    """The data set's rows of a larger store of pixels, read where they are asked for.

    Parameters
    ----------
    store : uint8 [M, 1, S, S]
        The cache, usually a memory map; or shards.
    slots : int64 [N]
        Place of each row in the store.
    """

    store: NDArray[np.uint8] | ShardStore
    slots: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """N, 1, S, S."""
        return (len(self.slots), *self.store.shape[1:])

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Pixels of some rows, uint8 [B, 1, S, S], a copy."""
        if isinstance(self.store, ShardStore):
            return self.store.take(self.slots[rows])
        return np.asarray(self.store)[self.slots[rows]]

    @property
    def shards(self) -> ShardStore | None:
        """The shards that the rows are read from; None where they are in memory, or mapped into it."""
        return self.store if isinstance(self.store, ShardStore) else None

    @property
    def by_slot(self) -> NDArray[np.uint8]:
        """The store itself, uint8 [M, 1, S, S], read one square at a time; shards answer as an array does."""
        return cast("NDArray[np.uint8]", self.store)

    @property
    def layout(self) -> Layout | None:
        """Where the rows lie in shards, which the order of an epoch follows; None where any order is as good."""
        if self.shards is None:
            return None
        store = self.shards
        return Layout(self.slots, store.shard_of(self.slots), store.buffer, store.slices, store.group_size)

    @property
    def reading_order(self) -> NDArray[np.int64] | None:
        """The rows in the order in which they are read fastest; None where any order is as good."""
        return None if self.shards is None else np.argsort(self.slots, kind="stable")


def moments(images: Squares, rows: NDArray[np.int64]) -> tuple[int, int]:
    """The sum of all pixels of some rows (0..255 each), and of their squares, exact."""
    if images.shards is not None:
        return images.shards.moments(images.slots[rows])
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        counts += np.bincount(images[rows[start : start + BLOCK]].ravel(), minlength=256)
    pairs = list(enumerate(counts.tolist()))
    return sum(value * count for value, count in pairs), sum(value * value * count for value, count in pairs)


def statistics(images: Squares, rows: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels of some rows, in 0..1, exact: from whole numbers, rounded once."""
    count = len(rows) * math.prod(images.shape[1:])
    if not count:
        return math.nan, math.nan
    total, squares = moments(images, rows)
    return total / (255 * count), math.sqrt(count * squares - total * total) / (255 * count)
