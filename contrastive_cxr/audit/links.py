"""Which rows of a survey's table are one picture: equal ones, and confirmed near copies."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.audit import candidates, likeness, thumbnails
from contrastive_cxr.audit.candidates import Ints

CROPPED = 0.02  # change of scale or shift, of a picture 2 wide, from which a copy is called cropped


@dataclass(frozen=True)
class Links:
    """M pairs of rows that are one picture.

    Attributes
    ----------
    first, second : int64 [M], rows
    symmetry : int64 [M], what takes the first into the second, a number in `symmetries.NAMES`
    identical : bool [M], equal in bytes or in pixels
    cropped : bool [M], one shows a part of the other, or they are shifted
    correlation : float32 [M], 1 for identical ones
    """

    first: Ints
    second: Ints
    symmetry: Ints
    identical: NDArray[np.bool_]
    cropped: NDArray[np.bool_]
    correlation: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)


def find(images: NDArray[np.uint8], slots: Ints, facts: pd.DataFrame, more: tuple[Ints, Ints] | None = None) -> Links:
    """The copies among N images.

    Parameters
    ----------
    images : uint8 [slots, 1, S, S], squares, a memory map
    slots : int64 [N], where each row's square is
    facts : N rows of a survey's table: digest, width, height, pad_*
    more : pairs of rows (int64 [K], int64 [K]) that something else proposes, such as an embedding

    Returns
    -------
    Links. Memory: about 16 KiB an image.
    """
    small = thumbnails.small(images, slots, facts)
    origin = _origins(small, images, slots, facts)
    rows = np.flatnonzero(origin == np.arange(len(origin)))
    place = np.full(len(origin), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    pairs = candidates.propose(small[rows])
    if more is not None:
        pairs = candidates.join([pairs, candidates.every_symmetry(*(place[origin[each]] for each in more))])
    kept, correlation, placement = likeness.confirm(small[rows], pairs)
    near = pairs.take(kept)
    copies = np.flatnonzero(origin != np.arange(len(origin)))
    cropped = (np.abs(placement - np.array([1, 0, 1, 0])) > CROPPED).any(axis=1)
    return Links(
        np.concatenate([origin[copies], rows[near.first]]),
        np.concatenate([copies, rows[near.second]]),
        np.concatenate([np.zeros(len(copies), dtype=np.int64), near.symmetry]),
        np.arange(len(copies) + len(near)) < len(copies),
        np.concatenate([np.zeros(len(copies), dtype=bool), cropped]),
        np.concatenate([np.ones(len(copies), dtype=np.float32), correlation]),
    )


def _origins(small: NDArray[np.uint8], images: NDArray[np.uint8], slots: Ints, facts: pd.DataFrame) -> Ints:
    """The first row that each row equals, in bytes or in size and pixels, int64 [N]; itself where there is none."""
    digests, sizes = facts["digest"].to_numpy(), facts[["width", "height"]].to_numpy()
    first: dict[object, int] = {}
    origin = np.arange(len(small))
    for row in range(len(small)):
        by_bytes = first.setdefault(digests[row], row)
        by_pixels = first.setdefault((*sizes[row].tolist(), hashlib.sha256(small[row]).digest()), row)
        if by_bytes != row:
            origin[row] = origin[by_bytes]
        elif by_pixels != row and np.array_equal(images[slots[row]], images[slots[by_pixels]]):
            origin[row] = origin[by_pixels]
    return origin
