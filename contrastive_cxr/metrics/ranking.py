"""What the ranked neighbours of a query are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.metrics.statistics.weighted import Floats, Ints, class_auc, ratio

_TEMPERATURE = 0.07  # of the vote's weights, as in Wu et al. 2018 (instance discrimination)


def names(k: Sequence[int]) -> list[str]:
    """What `scores` gives, in its order."""
    return [*(f"recall_at_{c}" for c in k), *(f"precision_at_{c}" for c in k), "r_precision", "map_at_r"]


def scores(hits: NDArray[np.bool_], wanted: int, available: int, k: Sequence[int]) -> list[float]:
    """One query's `recall_at_k`, `precision_at_k`, `r_precision` and `map_at_r`.

    Parameters
    ----------
    hits : bool [K], of the query's class, nearest first; at least `wanted` and max(k) deep, or all there are
    wanted : neighbours of the query's class that there are (R), at any depth
    available : neighbours that there are
    k : depths; with fewer neighbours than k, those there are count

    Returns
    -------
    A value for each of `names`, all nan where nothing is wanted.
    """
    if not wanted:
        return [float("nan")] * (2 * len(k) + 2)
    inside = [int(np.count_nonzero(hits[:count])) for count in k]
    places = np.flatnonzero(hits[:wanted])
    precision = np.arange(1, len(places) + 1) / (places + 1)
    return [
        *(float(found > 0) for found in inside),
        *(found / min(count, available) for found, count in zip(inside, k, strict=True)),
        len(places) / wanted,
        float(precision.sum()) / wanted,
    ]


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
    known = np.where(np.isfinite(similarity), similarity, -np.inf)
    above = known - np.maximum(known.max(axis=1, keepdims=True, initial=-np.inf), -2)  # nothing known: 0 in all
    weights = np.exp(above.astype(np.float64) / _TEMPERATURE)
    shares = np.stack([(weights * (labels == c)).sum(1) for c in range(classes)], axis=1)
    return np.nan_to_num(ratio(shares, shares.sum(1, keepdims=True)))


def vote_auc(votes: Floats, labels: Ints, weights: Floats) -> Floats:
    """AUC of the votes [N, C] (three or more classes: macro one-vs-rest), one a resample of `weights` [B, N]."""
    means: Floats = class_auc(votes, labels, weights).mean(1)
    return means
