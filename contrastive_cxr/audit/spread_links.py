"""The search for copies cut into calls that workers make side by side; it finds the links that `links.find` finds.

Map and reduce over the hashes: a block of pictures is compared with a band of hashes (map), and the nearest of all
bands are kept for each picture (reduce). A band is a part of the pictures, not of the bits (docs/decisions.md).
No call is given pictures: each reads the squares that it needs from the cache, which the workers have to see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr import terminal
from contrastive_cxr.audit import candidates, hashes, likeness, links, thumbnails
from contrastive_cxr.audit.candidates import Candidates, Floats, Ints
from contrastive_cxr.data.cache_files import mapped
from contrastive_cxr.spread import Spread

BLOCK = 2048
"""Pictures of a call."""
BAND = 65_536
"""Hashes that a call compares with: 2 MiB, and 64 MiB of spectra."""
PAIRS = 4096
"""Pairs that a call confirms."""
PADS = ("pad_left", "pad_top", "pad_right", "pad_bottom")
Near = tuple[NDArray[np.int32], Ints, Floats]
"""Of each way [W], picture [n] and neighbour [K]: bits that differ, number of the neighbour (-1: none), cosine."""


@dataclass(frozen=True)
class Store:
    """The squares of a cache, as a worker opens them: the file that is mapped, or the squares themselves."""

    squares: str | NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> Store:
        """Of uint8 [M, 1, S, S]; a memory map is sent as the name of its file."""
        mapped = isinstance(images, np.memmap) and images.filename is not None
        return cls(str(images.filename) if mapped else images, images.shape)  # type: ignore[attr-defined]

    def opened(self) -> NDArray[np.uint8]:
        """uint8 [M, 1, S, S]."""
        return mapped(self.squares, self.shape) if isinstance(self.squares, str) else self.squares


@dataclass(frozen=True)
class Block:
    """Some pictures: where their squares are, and how these are padded.

    Attributes
    ----------
    store : Store
    slots : int64 [n]
    pads : int64 [n, 4]
    """

    store: Store
    slots: Ints
    pads: Ints

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, rows: Ints | slice) -> Block:
        """Some of them."""
        return Block(self.store, self.slots[rows], self.pads[rows])

    def pictures(self) -> NDArray[np.uint8]:
        """uint8 [n, 64, 64], as of `thumbnails.small`."""
        return thumbnails.small(self.store.opened(), self.slots, pd.DataFrame(self.pads, columns=list(PADS)))

    def cut(self, size: int) -> Iterator[tuple[int, Block]]:
        """(first row, block) of pieces of `size` pictures."""
        return ((start, self.take(slice(start, start + size))) for start in range(0, len(self), size))


def find(
    images: NDArray[np.uint8], slots: Ints, facts: pd.DataFrame, more: tuple[Ints, Ints] | None, spread: Spread
) -> links.Links:
    """As `links.find`, by the calls of `spread`.

    This process holds the candidate pairs, some hundred bytes for each picture, and no pictures.
    """
    every = Block(Store.of(images), slots, facts[list(PADS)].to_numpy(dtype=np.int64))
    told = spread.results(digests, ((block,) for _, block in every.cut(BLOCK)))
    origin = links.origins([digest for some in told for digest in some], images, slots, facts)
    rows = np.flatnonzero(origin == np.arange(len(origin)))
    place = np.full(len(origin), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    unique = every.take(rows)
    pairs = propose(unique, spread)
    if more is not None:
        pairs = candidates.join([pairs, candidates.every_symmetry(*(place[origin[each]] for each in more))])
    kept, correlation, placement = confirm(unique, pairs, spread)
    return links.gathered(origin, rows, pairs.take(kept), correlation, placement)


def digests(block: Block) -> list[bytes]:
    """SHA-256 of each small picture."""
    return [hashlib.sha256(each).digest() for each in block.pictures()]


def propose(pictures: Block, spread: Spread, nearest: int = candidates.NEAREST) -> Candidates:
    """As `candidates.propose`: the same pairs in the same order."""
    count = len(pictures)
    if count < 2:
        return candidates.join([])
    common = _usual(pictures, spread)
    bands = list(pictures.cut(BAND))
    held = spread.kept(hashed, [(band, common) for _, band in bands])
    wanted = min(nearest + 1, count)
    blocks = list(pictures.cut(BLOCK))
    found = []
    for number, part in enumerate(spread.results(merged, _reductions(blocks, bands, held, common, wanted, spread)), 1):
        found.append(part)
        terminal.share(number, len(blocks))
    way, first, second, alike = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(way, kind="stable")  # as one process finds them: way by way, picture by picture
    way, first, second, alike = way[order], first[order], second[order], alike[order]
    symmetries = np.array([symmetry for symmetry, _ in candidates.WAYS])
    crops = np.array([crop for _, crop in candidates.WAYS], dtype=np.float32)
    return candidates.join([Candidates(first, second, symmetries[way], crops[way])], alike)


def _reductions(
    blocks: list[tuple[int, Block]], bands: list[tuple[int, Block]], held: list[Any], common: hashes.Usual,
    wanted: int, spread: Spread,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """The arguments of `merged` for each block: its first row, how many are wanted, what was near in each band."""
    for start, block in blocks:
        calls = [(block, start, held[number], first, common, wanted) for number, (first, _) in enumerate(bands)]
        yield (start, wanted, *spread.kept(near_in_band, calls))


def confirm(pictures: Block, pairs: Candidates, spread: Spread) -> tuple[Ints, Floats, Floats]:
    """As `likeness.confirm`; each call reads the squares of its own pairs."""
    calls, places = [], []
    order = np.argsort(pairs.first, kind="stable")
    for start in range(0, len(pairs), PAIRS):
        rows = order[start : start + PAIRS]
        some = pairs.take(rows)
        who, numbers = np.unique(np.concatenate([some.first, some.second]), return_inverse=True)
        first, second = numbers[: len(rows)], numbers[len(rows) :]
        calls.append((pictures.take(who), Candidates(first, second, some.symmetry, some.crop)))
        places.append(rows)
    correlation, finer = np.empty(len(pairs), np.float32), np.empty(len(pairs), np.float32)
    placements = np.empty((len(pairs), 4), np.float32)
    for rows, said in zip(places, spread.results(alike_of, calls), strict=True):
        correlation[rows], finer[rows], placements[rows] = said
    return likeness.kept(pairs, correlation, finer, placements)


def alike_of(block: Block, pairs: Candidates) -> tuple[Floats, Floats, Floats]:
    """`likeness.likeness` of pairs among the pictures of a block."""
    return likeness.likeness(block.pictures(), pairs)


def _usual(pictures: Block, spread: Spread) -> hashes.Usual:
    """The typical spectrum of all pictures, exactly: each coefficient is gathered from all blocks."""
    parts = spread.kept(spectra, [(block,) for _, block in pictures.cut(BLOCK)], parts=hashes.COSINES)
    told = list(spread.results(usual_of, zip(*parts, strict=True)))
    return hashes.Usual(np.stack([each.middle for each in told]), np.stack([each.deviation for each in told]))


def spectra(block: Block) -> tuple[Floats, ...]:
    """Of each row of coefficients: float32 [n, 16]."""
    return tuple(np.ascontiguousarray(hashes.spectra(block.pictures()).transpose(1, 0, 2)))


def usual_of(*parts: Floats) -> hashes.Usual:
    """`hashes.usual` of one row of coefficients of all pictures."""
    return hashes.usual(np.concatenate(parts))


def hashed(band: Block, common: hashes.Usual) -> tuple[NDArray[np.uint8], Floats]:
    """Hashes uint8 [m, 32] and relative spectra float32 [m, 256] of a band."""
    found = hashes.spectra(band.pictures())
    return hashes.bits(found, common), hashes.relative(found, common)


def near_in_band(
    block: Block, start: int, band: tuple[NDArray[np.uint8], Floats], first: int, common: hashes.Usual, wanted: int
) -> Near:
    """Map: the `wanted` nearest hashes of a band for each picture of a block, under each way of changing it.

    Parameters
    ----------
    start, first : numbers of the first picture of the block, and of the band
    """
    pictures = block.pictures()
    plain = hashes.spectra(pictures)
    search = candidates.Hashes(band[0])
    told = [search.near(candidates.changed(pictures, plain, way), band[1], common, wanted) for way in candidates.WAYS]
    apart, ids, cosine = (np.stack(column) for column in zip(*told, strict=True))
    return apart.astype(np.int32), np.where(ids >= 0, ids + first, -1), cosine.astype(np.float32)


def merged(start: int, wanted: int, *bands: Near) -> tuple[Ints, Ints, Ints, Floats]:
    """Reduce: way, picture, neighbour and cosine of the candidates among the `wanted` nearest hashes of all bands."""
    apart, ids, cosine = (np.concatenate(column, axis=2) for column in zip(*bands, strict=True))
    order = np.lexsort((ids, np.where(ids < 0, np.iinfo(np.int32).max, apart)), axis=2)[:, :, :wanted]
    ids, cosine = np.take_along_axis(ids, order, axis=2), np.take_along_axis(cosine, order, axis=2)
    own = start + np.arange(ids.shape[1])
    there = (ids >= 0) & (ids != own[None, :, None]) & (cosine >= candidates.LIKE)
    way, row, _ = np.nonzero(there)
    return way, own[row], ids[there], cosine[there]
