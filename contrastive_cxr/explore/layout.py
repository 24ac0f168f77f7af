"""Places on a map for vectors: t-SNE from their nearest rows, by openTSNE, in a time that grows linearly with them."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import RequestError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
PERPLEXITY = 15.0
EARLY, LATER = 100, 250
"""Steps: with exaggerated attraction, and after it. More of them change the places of 50,000 rows little."""
FEWEST = 5
_FFT = 10_000  # rows from which interpolation is faster than a tree


def require() -> None:
    """Raise a `RequestError` with the install line where openTSNE is missing."""
    if importlib.util.find_spec("openTSNE") is None:
        raise RequestError("openTSNE: not installed, and ccxr explore needs it; pip install 'contrastive_cxr[explore]'")


def layout(vectors: Floats, near: Ints, gaps: Floats, threads: int = 1) -> Floats:
    """Places of rows, near ones near to each other.

    Parameters
    ----------
    vectors : float32 [M, D] of unit length
    near, gaps : int64 [M, K], float32 [M, K]
        The nearest other rows of each row and their distances, nearest first; of fewer than K the last are -1.
    threads : int

    Returns
    -------
    float32 [M, 2]
        Between -1 and 1, both axes with one scale. 50,000 rows take about 40 s on two cores. The same vectors give the
        same places. Fewer than 5 rows, and rows that are all the same, lie on a circle.
    """
    places = _circle(len(vectors))
    count = int((near >= 0).all(axis=0).sum()) if len(near) else 0
    if len(vectors) >= FEWEST and count and float(np.std(vectors, axis=0).max()) > 1e-6:
        places = _tsne(vectors, near[:, :count], gaps[:, :count], threads)
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    half = float((places.max(axis=0) - places.min(axis=0)).max()) / 2
    scaled: Floats = ((places - middle) / max(half, 1e-9)).astype(np.float32)
    return scaled


def _tsne(vectors: Floats, near: Ints, gaps: Floats, threads: int) -> NDArray[np.float64]:
    from openTSNE import TSNEEmbedding, affinity, initialization, nearest_neighbors

    known = nearest_neighbors.PrecomputedNeighbors(near, gaps.astype(np.float64))
    perplexity = min(PERPLEXITY, near.shape[1] / 3)
    alike = affinity.PerplexityBasedNN(knn_index=known, perplexity=perplexity, n_jobs=threads)
    way = "fft" if len(vectors) > _FFT else "bh"
    begun = initialization.pca(vectors, random_state=0)
    found = TSNEEmbedding(begun, alike, negative_gradient_method=way, n_jobs=threads, random_state=0)
    found.optimize(EARLY, exaggeration=12, momentum=0.5, inplace=True)
    found.optimize(LATER, momentum=0.8, inplace=True)
    return np.asarray(found, dtype=np.float64)


def _circle(count: int) -> NDArray[np.float64]:
    angles = 2 * np.pi * np.arange(count) / max(count, 1)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
