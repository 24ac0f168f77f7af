"""Which rows make a batch where the squares are read shard by shard: the same classes, images from a buffer.

An epoch reads the shards of each class in a random order, each shard from its beginning to its end, and draws images
from a window over that sequence. A window of w images is the sort of i + w * u over the places i of the sequence, u
uniform in 0..1: an image is drawn at most w images after it was read, so that at most w wait. A class that fits its
share of the buffer is held whole and drawn as from memory.

The order of an epoch is a function of its key alone, for the whole batch. A batch has `slices` parts, and each part of
it reads shards of its own; processes that share the batch so that each has whole slices read no shard twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.class_walks import Walk

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the squares of N rows lie.

    Attributes
    ----------
    slots : int64 [N]
        Place of each row's square, counted through all shards.
    shards : int64 [N]
        Number of its shard.
    buffer : int
        Images that may wait in memory.
    slices : int
        Parts of a batch that read shards of their own.
    group : int
        Squares of a row group.
    """

    slots: Rows
    shards: Rows
    buffer: int
    slices: int
    group: int

    def holds(self, rows: Rows) -> bool:
        """Whether the buffer holds all of some rows."""
        return len(rows) <= self.buffer

    def sequence(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """The rows in the order of a reading: shards in random order, each from its beginning to its end."""
        there = np.unique(self.shards[rows])
        rank = rng.permutation(len(there))[np.searchsorted(there, self.shards[rows])]
        return rows[np.lexsort((self.slots[rows], rank))]

    def shares(self, sizes: Sequence[int]) -> list[int]:
        """Images of the buffer that each class has, of classes of these sizes; a small class has no more than it needs.

        Examples
        --------
        >>> Layout(np.zeros(0), np.zeros(0), 100, 1, 4).shares([10, 500, 300])
        [10, 45, 45]
        """
        left, found = self.buffer, [0] * len(sizes)
        for done, place in enumerate(sorted(range(len(sizes)), key=lambda number: sizes[number])):
            found[place] = min(sizes[place], left // (len(sizes) - done))
            left -= found[place]
        return found

    def window(self, share: int, slices: int) -> int:
        """Images from which a slice of a class draws; what stands around them in a row group takes the rest."""
        own = share // slices
        return max(own - 2 * self.group, own // 2, 1)


class Epoch(list[Rows]):
    """The batches of an epoch, and the rows whose squares stay in memory once they were read."""

    def __init__(self, batches: Sequence[Rows], held: Rows) -> None:
        super().__init__(batches)
        self.held = held


def windowed(rows: Rows, window: int, rng: np.random.Generator) -> Rows:
    """The rows in a random order in which none comes more than `window` places late; all of them: any order."""
    if window >= len(rows):
        return rng.permutation(rows)
    return rows[np.argsort(np.arange(len(rows)) + window * rng.random(len(rows)), kind="stable")]


def uniform(
    rows: Rows, labels: Rows, counts: dict[int, int], size: int, layout: Layout, rng: np.random.Generator
) -> Epoch:
    """One pass in random order; the classes of its places are drawn as those of a shuffle of all rows are.

    Parameters
    ----------
    rows : int64 [n]
        The training rows.
    labels : int64 [N]
        Class numbers of the whole data set.
    counts : {class: images}
        How many images of each class the epoch has: more than there are (each comes equally often, some once more), or
        fewer (those of the shards that come first).
    size : int
        Images of a batch; a last short one is left out, unless it is the only one.
    """
    kinds = rng.permutation(np.repeat(list(counts), list(counts.values())))
    size = min(size, len(kinds))
    steps = len(kinds) // size
    kinds = kinds[: steps * size]
    slices = min(layout.slices, size)
    slice_of = np.tile(np.arange(size) * slices // size, steps)
    found, held = np.empty(len(kinds), dtype=np.int64), []
    owns = [rows[labels[rows] == kind] for kind in counts]
    for kind, own, share in zip(counts, owns, layout.shares([len(own) for own in owns]), strict=True):
        places = np.flatnonzero(kinds == kind)
        rounds = -(-len(places) // len(own))
        if len(own) <= share:
            held.append(own)
            found[places] = rng.permutation(
                np.concatenate([rng.permutation(own) for _ in range(rounds)])[: len(places)]
            )
            continue
        sequence = np.concatenate([layout.sequence(own, rng) for _ in range(rounds)])
        mine, done = slice_of[places], 0
        for each in range(slices):
            part = places[mine == each]
            found[part] = windowed(sequence[done : done + len(part)], layout.window(share, slices), rng)
            done += len(part)
    return Epoch(list(found.reshape(steps, size)), np.concatenate(held) if held else rows[:0])


def balanced(
    rows: Rows,
    labels: Rows,
    classes_per_batch: int | None,
    images_per_class: int,
    steps: int,
    layout: Layout,
    rng: np.random.Generator,
) -> Epoch:
    """Batches of P distinct classes x K distinct images, parameters as `batches.balanced`.

    Each slice of a batch has its share of the K images of every class, and reads its own part of the shards of the
    class, which it goes through again when it is used up. The images of a batch stand slice by slice.
    """
    classes = np.unique(labels[rows])
    wanted = len(classes) if classes_per_batch is None else classes_per_batch
    slices = min(layout.slices, images_per_class)
    ends = np.arange(1, slices + 1) * images_per_class // slices
    takes = np.diff(ends, prepend=0).tolist()
    owns = [rows[labels[rows] == kind] for kind in classes]
    held: list[Rows] = []
    walks: list[_Whole | _Parts] = []
    for own, share in zip(owns, layout.shares([len(own) for own in owns]), strict=True):
        if len(own) <= share:
            held.append(own)
            walks.append(_Whole(own, takes, rng))
        else:
            cuts = (len(own) * ends // images_per_class)[:-1]
            parts = np.split(layout.sequence(own, rng), cuts)
            walks.append(_Parts(parts, takes, layout, layout.window(share, slices), rng))
    batches = []
    for _ in range(steps):
        drawn = [walks[number].take() for number in rng.choice(len(classes), wanted, replace=False)]
        batches.append(np.concatenate([part for parts in zip(*drawn, strict=True) for part in parts]))
    return Epoch(batches, np.concatenate(held) if held else rows[:0])


class _Whole:
    """A class that is held: one walk, what it gives is dealt to the slices."""

    def __init__(self, rows: Rows, takes: list[int], rng: np.random.Generator) -> None:
        self.walk, self.takes = Walk(rows, rng.permutation), takes

    def take(self) -> list[Rows]:
        """The next K rows, a part for each slice."""
        return np.split(self.walk.take(sum(self.takes)), np.cumsum(self.takes)[:-1])


class _Parts:
    """A class of which each slice walks through a part of its own."""

    def __init__(
        self, parts: list[Rows], takes: list[int], layout: Layout, window: int, rng: np.random.Generator
    ) -> None:
        def order(rows: Rows) -> Rows:
            return windowed(layout.sequence(rows, rng), window, rng)

        self.walks, self.takes = [Walk(part, order) for part in parts], takes

    def take(self) -> list[Rows]:
        """The next K rows, a part for each slice."""
        return [walk.take(count) for walk, count in zip(self.walks, self.takes, strict=True)]
