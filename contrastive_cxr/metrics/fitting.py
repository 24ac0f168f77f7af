"""Which rows a temperature or a threshold is fitted on, and which it is then applied to: never the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.metrics.statistics import intervals
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints

FOLDS = 5


@dataclass(frozen=True)
class Validation:
    """Rows that were kept for choosing: `probabilities` float [M, C], `labels` int64 [M]."""

    probabilities: Floats
    labels: Ints


@dataclass(frozen=True)
class Fit:
    """Rows to fit on, `probabilities` float64 [M, C] and `labels` int64 [M], and int64 rows that it is applied to."""

    probabilities: Floats
    labels: Ints
    applied: Ints


def fits(validation: Validation | None, probabilities: Floats, labels: Ints, owners: Ints) -> list[Fit]:
    """One fit on the validation rows, applied to all; without them cross-fitting, five fits on four fifths each.

    Parameters
    ----------
    probabilities : float64 [N, C]
        Of the scored rows.
    labels : int64 [N]
    owners : int64 [N]
        Groups that stay together, as from `intervals.group_numbers`.

    Returns
    -------
    list of Fit
        Their `applied` rows are all N, each once; empty with fewer than two groups, or no validation rows.
    """
    if validation is not None:
        known = np.asarray(validation.probabilities, dtype=np.float64)
        return [Fit(known, validation.labels, np.arange(len(labels)))] if len(known) else []
    return [Fit(probabilities[~mine], labels[~mine], np.flatnonzero(mine)) for mine in _folds(owners)]


def _folds(owners: Ints) -> Iterator[NDArray[np.bool_]]:
    """Rows of each of five folds, bool [N], whole groups drawn at random (always the same)."""
    count = len(np.unique(owners))
    if count < 2:
        return
    order = np.random.default_rng(0).permutation(count)
    numbers = order[intervals.group_numbers(owners, len(owners))] % min(FOLDS, count)
    for fold in range(min(FOLDS, count)):
        yield numbers == fold
