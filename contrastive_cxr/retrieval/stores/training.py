"""Centroids and codes of an ivf-pq index, trained on a sample that fits a stated memory."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import faiss as _faiss
import numpy as np

from contrastive_cxr.retrieval.index import codes
from contrastive_cxr.retrieval.rows import Ids, Vectors

faiss: Any = _faiss  # its own types lack half of it
SAMPLE_BYTES = 256 * 2**20
"""Of the vectors that are trained on; they bound the number of lists."""
_POINTS = 40  # vectors a centroid
_CODED = 256 * 64  # vectors that the codes are trained on
_CENTROIDS = 256  # of a byte


def lists_for(rows: int, width: int) -> int:
    """About 2 sqrt(M) lists, and fewer where their sample would be larger than `SAMPLE_BYTES`."""
    most = SAMPLE_BYTES // (4 * width * _POINTS)
    return max(1, min(ceil(2 * sqrt(rows)), rows // 39, most))


def sample_rows(rows: int, lists: int) -> Ids:
    """Which rows to train on, rising, the same every time."""
    count = min(rows, max(_POINTS * lists, _CODED))
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))


def trained(sample: Vectors, lists: int) -> tuple[Vectors, Vectors]:
    """Centroids float32 [lists, D] and codes float32 [bytes, 256 or 16, D / bytes] of the rests.

    A byte stands for 8 dimensions; of fewer than 256 vectors half a byte does.
    """
    width = sample.shape[1]
    means = faiss.Kmeans(width, lists, niter=10, seed=0, max_points_per_centroid=len(sample), min_points_per_centroid=1)
    means.train(sample)
    some = np.ascontiguousarray(sample[:: max(1, len(sample) // _CODED)])
    rests = some - means.centroids[means.index.search(some, 1)[1][:, 0]]
    parts, bits = codes(width), 8 if len(rests) >= _CENTROIDS else 4
    quantizer = faiss.ProductQuantizer(width, parts, bits)
    quantizer.cp.min_points_per_centroid = 1
    quantizer.train(np.resize(rests, (max(len(rests), 2**bits), width)))
    codebook = faiss.vector_to_array(quantizer.centroids).reshape(parts, 2**bits, width // parts)
    return np.asarray(means.centroids, np.float32), np.asarray(codebook, np.float32)
