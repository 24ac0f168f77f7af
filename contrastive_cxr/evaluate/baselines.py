"""What something that cannot see disease reaches: a score is worth what it adds to this."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from contrastive_cxr.evaluate.weighted import Floats, Ints

SIDE = 32
_TREES = 500
_BLOCK = 256


def thumbnails(images: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.float32]:
    """Area-averaged pictures, float32 [N, side * side] in 0..255.

    Parameters
    ----------
    images : uint8 [N, 1, S, S], any S; read in blocks, so a memory map stays on disk
    """
    shares = _shares(images.shape[-1], side)
    small = np.empty((len(images), side * side), dtype=np.float32)
    for start in range(0, len(images), _BLOCK):
        block = np.asarray(images[start : start + _BLOCK, 0], dtype=np.float32)
        small[start : start + _BLOCK] = (shares @ block @ shares.T).reshape(len(block), -1)
    return small


def _shares(size: int, side: int) -> NDArray[np.float32]:
    """Share of each of `size` pixels in each of `side` cells, [side, size]; rows add up to 1."""
    edges = np.linspace(0.0, size, side + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    shares: NDArray[np.float64] = np.clip(overlap, 0.0, None) * side / size
    return shares.astype(np.float32)


def thumbnail_forest(
    train_images: NDArray[np.uint8], train_labels: Ints, images: NDArray[np.uint8], classes: int, seed: int
) -> Floats:
    """Class probabilities of a random forest on 32x32 thumbnails, the blind baseline.

    Parameters
    ----------
    train_images, images : uint8 [N, 1, S, S], [M, 1, S, S]
    train_labels : int64 [N], 0..classes-1
    classes : number of classes; one without training rows gets probability 0

    Returns
    -------
    float64 [M, classes]; the same for the same seed, whatever the number of cores.
    """
    forest = RandomForestClassifier(_TREES, random_state=seed % 2**32, n_jobs=-1)
    forest.fit(thumbnails(train_images), train_labels)
    probabilities = np.zeros((len(images), classes))
    if len(images):
        probabilities[:, forest.classes_] = forest.predict_proba(thumbnails(images))
    return probabilities
