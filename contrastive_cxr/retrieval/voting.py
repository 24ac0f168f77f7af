"""The vote of neighbours as a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.metrics import ranking
from contrastive_cxr.retrieval.result import SearchResult


def shares(found: SearchResult, classes: Sequence[str]) -> NDArray[np.float64]:
    """Class shares of each query's neighbours, weighted by exp(cosine / 0.07) (Wu et al. 2018).

    Parameters
    ----------
    classes : sequence of str
        Labels in the order of the columns; neighbours with other labels do not vote.

    Returns
    -------
    float64 [Q, C], rows adding up to 1: equal shares where no neighbour votes. As `metrics.scores.classification`
    takes them.
    """
    there = ~np.ma.getmaskarray(found.labels)
    labels = np.ma.getdata(found.labels)
    numbers = np.full(labels.shape, -1, np.int64)
    for number, name in enumerate(classes):
        numbers[(labels == name) & there] = number
    cosines = np.where(numbers >= 0, 1 - np.ma.getdata(found.distances) ** 2 / 2, np.nan).astype(np.float32)
    votes = ranking.votes(numbers, cosines, len(classes))
    votes[votes.sum(axis=1) == 0] = 1 / len(classes)
    return votes
