"""What a ranking of neighbours is worth, query by query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.evaluate.weighted import Floats, Ints, class_auc, ratio

_TEMPERATURE = 0.07  # of the vote's weights, as in Wu et al. 2018 (instance discrimination)


def scores(hits: NDArray[np.bool_], available: Ints, k: Sequence[int]) -> dict[str, Floats]:
    """`recall_at_k`, `precision_at_k`, `r_precision` and `map_at_r` of ranked neighbours.

    Parameters
    ----------
    hits : bool [B, M], of the query's class, nearest first; False where there is no neighbour
    available : int64 [B], the neighbours that there are, all before the others
    k : depths; with fewer neighbours than k, those there are count

    Returns
    -------
    {name: float64 [B]}, nan for a query without any hit.
    """
    found = np.cumsum(hits, axis=1)
    wanted, width = found[:, -1], hits.shape[1]
    defined, last = wanted > 0, np.maximum(wanted, 1) - 1
    result = {}
    for count in k:
        inside = found[:, min(count, width) - 1].astype(float)
        result[f"recall_at_{count}"] = np.where(defined, (inside > 0).astype(float), np.nan)
        result[f"precision_at_{count}"] = np.where(defined, ratio(inside, np.minimum(count, available)), np.nan)
    rows = np.arange(len(hits))
    precision = np.cumsum(hits * found / np.arange(1, width + 1), axis=1)
    result["r_precision"] = ratio(found[rows, last], wanted)
    result["map_at_r"] = ratio(precision[rows, last], wanted)
    return result


def votes(labels: Ints, similarity: NDArray[np.float32], classes: int) -> Floats:
    """Class shares of the nearest rows, weighted by exp(similarity / temperature).

    Parameters
    ----------
    labels : int64 [B, V], nearest first
    similarity : float32 [B, V], nan where there is no neighbour

    Returns
    -------
    float64 [B, classes]; zeros for a row without neighbours.
    """
    above = np.where(np.isfinite(similarity), similarity - similarity[:, :1], -np.inf)
    weights = np.exp(above.astype(np.float64) / _TEMPERATURE)
    shares = np.stack([(weights * (labels == c)).sum(1) for c in range(classes)], axis=1)
    return np.nan_to_num(ratio(shares, shares.sum(1, keepdims=True)))


def vote_auc(votes: Floats, labels: Ints, weights: Floats) -> Floats:
    """AUC of the votes [N, C] (three or more classes: macro one-vs-rest), one a resample of `weights` [B, N]."""
    means: Floats = class_auc(votes, labels, weights).mean(1)
    return means
