"""Which rows of a survey's table show one picture: identical images, and confirmed near copies."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.audit import candidates, likeness, thumbnails
from contrastive_cxr.audit.candidates import Candidates, Floats, Ints

CROPPED = 0.02  # change of scale or shift, of a picture 2 wide, from which a copy is called cropped


@dataclass(frozen=True)
class Links:
    """M pairs of rows that show one picture.

    Attributes
    ----------
    first, second : int64 [M], rows
    symmetry : int64 [M], number in `symmetries.NAMES` of the symmetry that turns the first into the second
    identical : bool [M], equal in bytes or in pixels
    cropped : bool [M], whether one shows a part of the other, or they are shifted
    correlation : float32 [M], 1 for identical images
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
    images : uint8 [slots, 1, S, S], the cached squares, a memory map
    slots : int64 [N], where each row's square is
    facts : N rows of a survey's table: digest, width, height, pad_*
    more : further candidate pairs of rows (int64 [K], int64 [K]), such as neighbours in an embedding

    Returns
    -------
    Links. Memory: about 16 KiB for each image.
    """
    small = thumbnails.small(images, slots, facts)
    origin = origins([hashlib.sha256(each).digest() for each in small], images, slots, facts)
    rows = np.flatnonzero(origin == np.arange(len(origin)))
    place = np.full(len(origin), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    pairs = candidates.propose(small[rows])
    if more is not None:
        pairs = candidates.join([pairs, candidates.every_symmetry(*(place[origin[each]] for each in more))])
    kept, correlation, placement = likeness.confirm(small[rows], pairs)
    return gathered(origin, rows, pairs.take(kept), correlation, placement)


def gathered(origin: Ints, rows: Ints, near: Candidates, correlation: Floats, placement: Floats) -> Links:
    """The links of identical images and of confirmed pairs.

    Parameters
    ----------
    origin : int64 [N], the first row that is identical to each row
    rows : int64 [U], rows that are identical to none before them
    near : K confirmed pairs of positions in `rows`
    correlation, placement : float32 [K], [K, 4]
    """
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


def origins(digests: Sequence[bytes], images: NDArray[np.uint8], slots: Ints, facts: pd.DataFrame) -> Ints:
    """The first row with the same bytes, or the same size and pixels, as each row, int64 [N]; or the row itself.

    Parameters
    ----------
    digests : N digests of the small pictures: only where they are equal are the squares compared
    """
    of_bytes, sizes = facts["digest"].to_numpy(), facts[["width", "height"]].to_numpy()
    first: dict[object, int] = {}
    origin = np.arange(len(digests))
    for row, digest in enumerate(digests):
        by_bytes = first.setdefault(of_bytes[row], row)
        by_pixels = first.setdefault((*sizes[row].tolist(), digest), row)
        if by_bytes != row:
            origin[row] = origin[by_bytes]
        elif by_pixels != row and np.array_equal(images[slots[row]], images[slots[by_pixels]]):
            origin[row] = origin[by_pixels]
    return origin
