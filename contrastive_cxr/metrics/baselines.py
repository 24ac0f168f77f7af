"""What something that cannot see disease reaches: a score is worth what it adds to this.

Three blind baselines, each a forest on something that holds no lung: the file's metadata, the outer border of the
picture, and a thumbnail of 32x32 pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from contrastive_cxr.metrics.statistics.weighted import Floats, Ints

METADATA, BORDER, THUMBNAIL = "file metadata", "border, outer 10 %", "32x32 thumbnail"
SIDE = 32
RIM = 0.1
"""Share of the picture's side that counts as border, at each of its four sides."""
_TREES = 500
LARGE = 1_000_000
"""Numbers of a training table from which on the forest is one of extremely randomised trees."""
_BLOCK = 256
_WORDS = ("format", "mode")
_NUMBERS = ("width", "height", "bytes")
_PAD = ("pad_left", "pad_top", "pad_right", "pad_bottom")


class Pixels(Protocol):
    """uint8 [N, 1, S, S] that is read in slices: an array, a memory map, or rows of one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Material:
    """What the blind baselines look at, a row an image.

    Attributes
    ----------
    images : uint8 [N, 1, S, S]
        Squares, padding included; read in blocks.
    facts : DataFrame [N]
        What is known of the files: `format`, `mode`, `width`, `height`, `bytes`, `pad_left`, `pad_top`, `pad_right`,
        `pad_bottom` (pixels of the square).
    """

    images: Pixels
    facts: pd.DataFrame


def blind(train: Material, labels: Ints, scored: Material, classes: int, seed: int) -> list[tuple[str, Floats]]:
    """Every blind baseline, fitted on the training rows: (name, class probabilities float64 [M, classes]) of each.

    Parameters
    ----------
    train, scored : Material
        N training rows, M rows to be scored.
    labels : int64 [N], 0..classes-1
    classes : number of classes; one without training rows gets probability 0
    seed : int
        The same seed gives the same probabilities, whatever the number of cores.
    """
    inputs = {
        METADATA: metadata(train.facts, scored.facts),
        BORDER: (border(train.images, train.facts), border(scored.images, scored.facts)),
        THUMBNAIL: (thumbnails(train.images), thumbnails(scored.images)),
    }
    return [(name, forest(known, labels, asked, classes, seed)) for name, (known, asked) in inputs.items()]


def metadata(train: pd.DataFrame, other: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Format and mode (a column a word that the training files have), width, height, aspect ratio and bytes.

    Parameters
    ----------
    train, other : DataFrame
        Facts of files, as in `Material`.

    Returns
    -------
    (float32 [N, K], float32 [M, K]); a word that no training file has is 0 in every column.
    """
    known = {name: sorted(set(train[name].astype(str))) for name in _WORDS}

    def columns(facts: pd.DataFrame) -> NDArray[np.float32]:
        words = [facts[name].astype(str).to_numpy() == word for name, there in known.items() for word in there]
        numbers = [facts[name].to_numpy(dtype=np.float64) for name in _NUMBERS]
        aspect = numbers[0] / np.maximum(numbers[1], 1)
        return np.column_stack([*words, *numbers, aspect]).astype(np.float32)

    return columns(train), columns(other)


def border(images: Pixels, facts: pd.DataFrame) -> NDArray[np.float32]:
    """The outer 10 % of each picture, its padding left out, at 32x32: float32 [N, 348] in 0..255.

    Parameters
    ----------
    images : uint8 [N, 1, S, S]
    facts : DataFrame [N]
        With the padding of each square.
    """
    size, rim = images.shape[-1], round(RIM * SIDE)
    outside = np.ones((SIDE, SIDE), dtype=bool)
    outside[rim:-rim, rim:-rim] = False
    pads = facts[list(_PAD)].to_numpy(dtype=np.int64)
    found = np.empty((len(images), int(outside.sum())), dtype=np.float32)
    for rows, block in _blocks(images):
        for row, square in zip(rows, block, strict=True):
            left, top, right, bottom = pads[row]
            picture = square[top : size - bottom, left : size - right]
            small = shares(picture.shape[0], SIDE) @ picture @ shares(picture.shape[1], SIDE).T
            found[row] = small[outside]
    return found


def thumbnails(images: Pixels, side: int = SIDE) -> NDArray[np.float32]:
    """Area-averaged pictures, float32 [N, side * side] in 0..255.

    Parameters
    ----------
    images : uint8 [N, 1, S, S], any S; read in blocks, so a memory map stays on disk
    """
    cells = shares(images.shape[-1], side)
    small = np.empty((len(images), side * side), dtype=np.float32)
    for rows, block in _blocks(images):
        small[rows] = (cells @ block @ cells.T).reshape(len(block), -1)
    return small


def _blocks(images: Pixels) -> Iterator[tuple[Ints, NDArray[np.float32]]]:
    """All images in blocks, in the order in which they are read fastest: row numbers [B], and float32 [B, S, S]."""
    order = getattr(images, "reading_order", None)
    rows: Ints = np.arange(len(images), dtype=np.int64) if order is None else order
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        pixels = images[start : start + _BLOCK] if order is None else images[block]
        yield block, np.asarray(pixels, dtype=np.float32)[:, 0]


@functools.lru_cache(maxsize=512)
def shares(size: int, side: int) -> NDArray[np.float32]:
    """Share of each of `size` pixels in each of `side` cells, [side, size]; rows add up to 1."""
    edges = np.linspace(0.0, size, side + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    cells: NDArray[np.float64] = np.clip(overlap, 0.0, None) * side / size
    return cells.astype(np.float32)


def forest(train: NDArray[np.float32], labels: Ints, scored: NDArray[np.float32], classes: int, seed: int) -> Floats:
    """Class probabilities of a forest of 500 trees: a random forest, on large tables one of extremely randomised trees.

    Those draw thresholds instead of sorting for them. With three times as many columns to choose from they are about
    as good on large tables in 0.6 of the time, and less good on small ones (`benchmarks/results/blind_forests.json`).

    Parameters
    ----------
    train, scored : float32 [N, K], [M, K]
        `train` is large from `LARGE` numbers on.
    labels : int64 [N], 0..classes-1
    classes : number of classes; one without training rows gets probability 0

    Returns
    -------
    float64 [M, classes]; the same for the same seed, whatever the number of cores.

    References
    ----------
    Breiman, Random Forests, 2001; Geurts, Ernst and Wehenkel, Extremely randomized trees, 2006.
    """
    kind: type[ExtraTreesClassifier | RandomForestClassifier] = RandomForestClassifier
    columns = max(1, int(np.sqrt(train.shape[1])))
    if train.size >= LARGE:
        kind, columns = ExtraTreesClassifier, 3 * columns
    trees = kind(_TREES, max_features=columns, random_state=seed % 2**32, n_jobs=-1)
    trees.fit(train, labels)
    probabilities = np.zeros((len(scored), classes))
    if len(scored):
        probabilities[:, trees.classes_] = trees.predict_proba(scored)
    return probabilities


def thumbnail_forest(train_images: Pixels, train_labels: Ints, images: Pixels, classes: int, seed: int) -> Floats:
    """Class probabilities of a forest on 32x32 thumbnails; parameters as in `forest`, of uint8 [N, 1, S, S]."""
    return forest(thumbnails(train_images), train_labels, thumbnails(images), classes, seed)
