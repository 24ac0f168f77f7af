"""Pairs of pictures that may be copies: FAISS finds the nearest hashes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.audit import hashes
from contrastive_cxr.audit.symmetries import NAMES, inverse, turned_spectrum

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

NEAREST = 12  # neighbours of a hash; if a picture has more copies, they are found through each other
# Least cosine similarity of the spectra of a candidate pair. Of 1,329 pairs that show one X-ray the lowest had 0.97; of
# pairs of two X-rays with near hashes, 1 % had more than 0.67. A copy with a crop that is not in CROPS has about 0.6.
LIKE = 0.5
STRONGEST = 8  # candidate pairs of a picture: the most similar ones
CUTS = (0.05, 0.09)  # shares of a side that small crops remove, approximately
# The smaller crop for every choice of sides, the larger one for two or four sides.
_SIDES = tuple(itertools.product((0, 1), repeat=4))[1:]
CROPS: tuple[hashes.Crop, ...] = tuple(
    (cut * left, cut * top, cut * right, cut * bottom)
    for cut, numbers in ((CUTS[0], (1, 2, 3, 4)), (CUTS[1], (2, 4)))
    for left, top, right, bottom in _SIDES
    if left + top + right + bottom in numbers
)
# The ways in which a picture is changed: a symmetry, and a crop of the turned picture.
WAYS = [(number, (0.0, 0.0, 0.0, 0.0)) for number in range(len(NAMES))]
WAYS += [(number, crop) for number in (0, NAMES.index("mirror")) for crop in CROPS]
_BLOCK = 2048
_INVERSE = np.array([inverse(number) for number in range(len(NAMES))])


@dataclass(frozen=True)
class Candidates:
    """M pairs: `first`, turned by `symmetry` and cut by `crop`, looks like `second`.

    Attributes
    ----------
    first, second : int64 [M], pictures
    symmetry : int64 [M], number in `symmetries.NAMES`
    crop : float32 [M, 4], shares that are cut off the turned `first` at left, top, right, bottom
    """

    first: Ints
    second: Ints
    symmetry: Ints
    crop: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Ints) -> Candidates:
        """Some of the pairs."""
        return Candidates(self.first[rows], self.second[rows], self.symmetry[rows], self.crop[rows])


def propose(pictures: NDArray[np.uint8], nearest: int = NEAREST) -> Candidates:
    """Pairs whose hashes are near, under the eight symmetries, or after a small crop, mirrored or not.

    Parameters
    ----------
    pictures : uint8 [N, S, S], no two of them from one file
    nearest : neighbours for each picture and each way of changing it

    Returns
    -------
    Candidates; each pair occurs once with each symmetry. Time: 52 N^2 comparisons of 32 bytes, by FAISS on all cores;
    memory: 4 KiB for each picture.
    """
    if len(pictures) < 2:
        return join([])
    plain = hashes.spectra(pictures)
    usual = hashes.usual(plain)
    index = Hashes(hashes.bits(plain, usual))
    gallery = hashes.relative(plain, usual)
    found, alike = [], []
    for symmetry, crop in WAYS:
        first, second, cosine = _near(index, gallery, changed(pictures, plain, (symmetry, crop)), usual, nearest)
        cuts = np.broadcast_to(np.array(crop, dtype=np.float32), (len(first), 4))
        found.append(Candidates(first, second, np.full(len(first), symmetry), cuts))
        alike.append(cosine)
    return join(found, np.concatenate(alike))


def changed(pictures: NDArray[np.uint8], plain: Floats, way: tuple[int, hashes.Crop]) -> Floats:
    """The spectra of pictures after one of `WAYS`, float32 [N, 16, 16]; `plain` are those without a change."""
    symmetry, (left, top, right, bottom) = way
    # the left side of the turned picture was the right side before
    before = (right, top, left, bottom) if symmetry else (left, top, right, bottom)
    return turned_spectrum(hashes.spectra(pictures, before) if any(before) else plain, symmetry)


class Hashes:
    """Hashes among which the nearest are found, all of them compared.

    Parameters
    ----------
    bits : uint8 [N, 32]
    """

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._index = faiss.IndexBinaryFlat(hashes.BITS)
        self._index.add(bits)

    def near(
        self, spectra: Floats, gallery: Floats, usual: hashes.Usual, wanted: int
    ) -> tuple[NDArray[np.int32], Ints, Floats]:
        """The nearest hashes of each spectrum, nearest first; equally near ones in their order.

        Parameters
        ----------
        spectra : float32 [n, 16, 16]
        gallery : float32 [N, 256], relative spectra of the hashes
        wanted : K, at most N are found

        Returns
        -------
        int32 [n, K'], bits that differ
        int64 [n, K'], positions
        float32 [n, K'], cosine similarity of the spectra
        """
        apart, second = self._index.search(hashes.bits(spectra, usual), min(wanted, self._index.ntotal))
        second = second.astype(np.int64)
        first = np.broadcast_to(np.arange(len(spectra))[:, None], second.shape)
        cosine = np.einsum("pc,pc->p", hashes.relative(spectra, usual)[first.ravel()], gallery[second.ravel()])
        return apart, second, cosine.reshape(second.shape)


def _near(
    index: Hashes, gallery: Floats, changed: Floats, usual: hashes.Usual, nearest: int
) -> tuple[Ints, Ints, Floats]:
    """Pairs (changed picture, picture) with near hashes and similar spectra, and the spectra's cosine similarity."""
    parts = []
    for start in range(0, len(changed), _BLOCK):
        _, second, cosine = index.near(changed[start : start + _BLOCK], gallery, usual, nearest + 1)
        first = np.broadcast_to(np.arange(len(second))[:, None] + start, second.shape)
        kept = (second != first) & (cosine >= LIKE)
        parts.append((first[kept], second[kept], cosine[kept]))
    first, second, cosine = (np.concatenate(column) for column in zip(*parts, strict=True))
    return first, second, cosine


def every_symmetry(first: Ints, second: Ints) -> Candidates:
    """Pairs from another source, such as an embedding, under each of the eight symmetries."""
    apart = first != second
    first, second, ways = first[apart], second[apart], len(NAMES)
    symmetry = np.repeat(np.arange(ways), len(first))
    return Candidates(np.tile(first, ways), np.tile(second, ways), symmetry, np.zeros((len(symmetry), 4), np.float32))


def join(parts: list[Candidates], alike: Floats | None = None) -> Candidates:
    """Several lists as one; each pair occurs once with each symmetry.

    With `alike`, only pairs that are among the most similar pairs of one of their pictures.
    """
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return Candidates(none, none, none, np.empty((0, 4), dtype=np.float32))
    every = Candidates(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "second", "symmetry", "crop"))
    )
    if alike is not None:
        every = every.take(np.argsort(-alike, kind="stable"))
    pictures = max(int(every.first.max(initial=0)), int(every.second.max(initial=0))) + 1
    # The pair (second, first) with the inverse symmetry is the same pair.
    back = every.first > every.second
    undone = _INVERSE[every.symmetry]
    low, high = np.where(back, every.second, every.first), np.where(back, every.first, every.second)
    keys = (low * pictures + high) * len(NAMES) + np.where(back, undone, every.symmetry)
    every = every.take(np.sort(np.unique(keys, return_index=True)[1]))
    return every if alike is None else every.take(np.flatnonzero(_rank(every.first, every.second) < STRONGEST))


def _rank(first: Ints, second: Ints) -> Ints:
    """Rank of each pair, int64 [M], among the pairs of its pictures, in the given order; the better of two."""
    ends = pd.DataFrame({"picture": np.stack([first, second], axis=1).ravel()})
    return np.asarray(ends.groupby("picture").cumcount().to_numpy().reshape(-1, 2).min(axis=1))
