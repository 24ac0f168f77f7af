"""Means of scores over repeated runs that scored the same images, with an interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contrastive_cxr.metrics.statistics import intervals, weighted
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints

NAMES = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "auc")


def mean_scores(
    probabilities: Sequence[Floats], labels: Ints, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Mean of each score over runs, with the interval of a bootstrap that draws the same images for all of them.

    The interval says how far the mean depends on the images that happened to be scored; how far it depends on the seeds
    is their standard deviation.

    Parameters
    ----------
    probabilities : sequence of float [N, C], one a run
    labels : int64 [N]
    groups : int64 [N] or None, patients, as in `intervals.bootstrap`

    Returns
    -------
    {name: {mean, low, high}}; None where undefined.
    """

    def columns(weights: Floats) -> Floats:
        found = [weighted.statistics(np.asarray(each, np.float64), labels, weights) for each in probabilities]
        return np.stack([np.mean([each[name] for each in found], axis=0) for name in NAMES], axis=1)

    means = columns(np.ones((1, len(labels))))[0]
    low, high = intervals.bootstrap(columns, len(labels), groups, resamples, seed)
    return {
        name: {"mean": float(means[i]) if np.isfinite(means[i]) else None, **intervals.known(low[i], high[i])}
        for i, name in enumerate(NAMES)
    }
