"""Which rows make a batch, and the pixels of a batch on the device. The one file of this room that uses torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from contrastive_cxr.data.class_walks import Walk
from contrastive_cxr.data.shards.stream import Follower

Rows = NDArray[np.int64]

RESIDENT_SHARE = 0.4  # of the free device memory; the rest is for weights and activations
BLOCK = 256  # images copied at once while the cache moves to the device


class Pixels(Protocol):
    """Images by row: an array, a memory map, or a view of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N, 1, S, S."""

    def __getitem__(self, rows: Rows) -> NDArray[np.uint8]:
        """uint8 [B, 1, S, S]."""


class Step(Protocol):
    """One process's part of a step, as the engine has it (`engine.Batch`)."""

    @property
    def rows(self) -> Rows:
        """int64 [B], this process's part."""

    @property
    def global_rows(self) -> Rows:
        """int64 [W * B], the whole batch."""

    @property
    def epoch(self) -> int:
        """From 0."""

    @property
    def step(self) -> int:
        """Over the whole phase, from 0."""

    @property
    def rank_slice(self) -> slice:
        """Of `global_rows` that is `rows`."""


def shuffled(rows: Rows, batch_size: int, rng: np.random.Generator, drop_last: bool = False) -> list[Rows]:
    """One pass over the rows in random order.

    Parameters
    ----------
    rows : int64 [N]
        Rows to go through, each once.
    batch_size : int
        Rows of a batch, B >= 1.
    rng : numpy Generator
        The order's only source.
    drop_last : bool
        Leave a last batch of fewer than B rows out; a single short batch is kept, so the pass is never empty.

    Returns
    -------
    list of int64 [<= B]
    """
    order = rng.permutation(rows)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if drop_last and len(batches) > 1 and len(batches[-1]) < batch_size:
        batches.pop()
    return batches


def balanced_faults(
    labels: Rows,
    rows: Rows,
    classes_per_batch: int | None,
    images_per_class: int,
    names: Sequence[str] | None = None,
) -> list[str]:
    """Faults of batches of P classes x K images: fewer classes than P, classes with fewer images than K.

    `labels` is int64 [N] of the whole data set, `rows` int64 the rows batches are made of; P `None` is all classes;
    `names` are the classes' names for the sentences, their numbers where not given.
    """
    classes, counts = np.unique(labels[rows], return_counts=True)
    wanted = len(classes) if classes_per_batch is None else classes_per_batch
    faults = []
    if wanted > len(classes):
        faults.append(
            f"embed.classes_per_batch is {wanted}, but the training images have {len(classes)} classes; "
            f"give at most {len(classes)}"
        )
    faults += [
        f"embed.images_per_class is {images_per_class}, but class "
        f"'{label if names is None else names[label]}' has {count} training images; give at most {counts.min()}"
        for label, count in zip(classes, counts, strict=True)
        if count < images_per_class
    ]
    return faults


def balanced(
    rows: Rows,
    labels: Rows,
    classes_per_batch: int | None,
    images_per_class: int,
    steps: int,
    rng: np.random.Generator,
) -> list[Rows]:
    """Batches of P distinct classes x K distinct images.

    Each class goes through its own shuffled rows and is shuffled anew when they are used up, so all images of a class
    are used equally often; one that would come twice in a batch then waits until the end of the new order.

    Parameters
    ----------
    rows : int64 [M]
        Rows to draw from.
    labels : int64 [N]
        Class numbers of the whole data set, read at `rows`.
    classes_per_batch : int or None
        P; `None` is all classes.
    images_per_class : int
        K, at most the smallest class (see `balanced_faults`).
    steps : int
        Number of batches.
    rng : numpy Generator
        Only source of the draw.

    Returns
    -------
    list of int64 [P * K]
        The K images of a class stand together.
    """
    faults = balanced_faults(labels, rows, classes_per_batch, images_per_class)
    assert not faults, f"the batches were not checked beforehand: {faults}"
    classes = np.unique(labels[rows])
    walks = {label: Walk(rows[labels[rows] == label], rng.permutation) for label in classes}
    wanted = len(classes) if classes_per_batch is None else classes_per_batch
    return [
        np.concatenate([walks[label].take(images_per_class) for label in rng.choice(classes, wanted, replace=False)])
        for _ in range(steps)
    ]


class Images:
    """The cached pixels, batch by batch, on the device.

    On a GPU the whole cache moves there once if it takes less than 40 % of the free memory (60,000 images of 256x256
    are 3.7 GiB); otherwise, each batch is copied through pinned memory. On a CPU a batch is read from the memory map.
    From shards, the batches of a training that `follow` was told of are read ahead, row group by row group.

    Parameters
    ----------
    images : uint8 [N, 1, S, S]
        Array, memory map, or `Dataset.images`.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(self, images: Pixels, device: torch.device | str) -> None:
        self.images = images
        self.device = torch.device(device)
        self.shards: Any = getattr(images, "shards", None)
        self.follower: Follower | None = None
        self.resident = self._move() if self._fits() else None

    def __len__(self) -> int:
        return self.images.shape[0]

    def take(self, rows: Rows) -> torch.Tensor:
        """The images of some rows, uint8 [B, 1, S, S] on the device."""
        if self.resident is not None:
            return self.resident.index_select(0, torch.from_numpy(rows).to(self.device, non_blocking=True))
        return self._moved(self.images[rows])

    def follow(self, batches: Callable[[int], Sequence[Rows]]) -> Callable[[int], Sequence[Rows]]:
        """Be told of a training's batches, `batches(epoch)`; returns what the loop is to draw its batches from."""
        if self.shards is None:
            return batches
        self.follower = Follower(self.shards, self.images.slots, batches)  # type: ignore[attr-defined]
        return self.follower.batches

    def of_step(self, batch: Step) -> torch.Tensor:
        """The images of this process's part of a step, uint8 [B, 1, S, S] on the device."""
        if self.follower is None:
            return self.take(batch.rows)
        several = len(batch.global_rows) // len(batch.rows)
        return self._moved(self.follower.take(batch.epoch, batch.step, batch.rank_slice.start, several))

    def encoded(self, encode: Callable[[Rows], NDArray[np.float32]], rows: Rows) -> NDArray[np.float32]:
        """What `encode(rows)` gives, float32 [n, ...], asked for in the order in which the rows are read fastest."""
        if self.shards is None:
            return encode(rows)
        order = np.argsort(self.images.slots[rows], kind="stable")  # type: ignore[attr-defined]
        found = encode(rows[order])
        result = np.empty_like(found)
        result[order] = found
        return result

    def _moved(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        if self.device.type == "cuda":
            return batch.pin_memory().to(self.device, non_blocking=True)
        return batch.to(self.device)

    def _fits(self) -> bool:
        if self.device.type != "cuda" or self.shards is not None:
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return bool(np.prod(self.images.shape, dtype=np.int64) < RESIDENT_SHARE * free)

    def _move(self) -> torch.Tensor:
        resident = torch.empty(self.images.shape, dtype=torch.uint8, device=self.device)
        for start in range(0, len(self), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(self)))
            resident[start : start + len(rows)] = torch.from_numpy(np.ascontiguousarray(self.images[rows])).to(
                self.device
            )
        return resident
