"""The cached pixels of a data set's rows, and what is counted over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 64  # images whose pixels are counted at once


@dataclass(frozen=True, eq=False)
class Squares:
    """The data set's rows of a larger store of pixels, read where they are asked for.

    Parameters
    ----------
    store : uint8 [M, 1, S, S]
        The cache, usually a memory map.
    slots : int64 [N]
        Place of each row in the store.
    """

    store: NDArray[np.uint8]
    slots: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """N, 1, S, S."""
        return (len(self.slots), *self.store.shape[1:])

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Pixels of some rows, uint8 [B, 1, S, S], a copy."""
        return np.asarray(self.store)[self.slots[rows]]


def statistics(images: Squares, rows: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and standard deviation of all pixels of some rows, in 0..1, exact: from a count of the 256 values."""
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        counts += np.bincount(images[rows[start : start + BLOCK]].ravel(), minlength=256)
    if not counts.sum():
        return float("nan"), float("nan")
    values = np.arange(256) / 255
    mean = float((counts * values).sum() / counts.sum())
    return mean, float(np.sqrt((counts * (values - mean) ** 2).sum() / counts.sum()))
