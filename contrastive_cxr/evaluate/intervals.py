"""95 % intervals: percentile bootstrap over groups (patients), paired differences, Wilson's interval of a rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.evaluate.weighted import Floats, Ints, ratio

Statistic: TypeAlias = Callable[[Floats], Floats]
"""Row weights [B, N] -> values [B] or [B, K]; nan where a resample leaves it undefined."""

LEVEL = 0.95
_BLOCK = 1_000_000  # weights held at once: 8 MB, about a core's cache


def wilson(successes: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a rate (Wilson 1927); (0, 1), nothing known, where `n` is 0.

    Examples
    --------
    >>> [round(end, 2) for end in wilson(8, 9)]
    [0.57, 0.98]
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def group_numbers(groups: Ints | None, n: int) -> Ints:
    """Number the groups of `n` rows 0..G-1; a row of unknown group (-1), or all where None, is a group of its own."""
    if groups is None:
        return np.arange(n, dtype=np.int64)
    numbers = np.empty(n, dtype=np.int64)
    known = groups >= 0
    names, numbers[known] = np.unique(groups[known], return_inverse=True)
    numbers[~known] = len(names) + np.arange((~known).sum())
    return numbers


def resampled(groups: Ints, resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of row weights [b, N]: how often each row's group is drawn when G groups are drawn from G.

    Parameters
    ----------
    groups : int64 [N], 0..G-1, as from `group_numbers`
    resamples : the b of all blocks together
    """
    generator, count = np.random.default_rng(seed), int(groups.max()) + 1
    block = max(1, _BLOCK // len(groups))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield times.astype(np.float64)[:, groups]


def bootstrap(
    statistic: Statistic, n: int, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Percentile interval of a statistic over resampled groups.

    Parameters
    ----------
    statistic : row weights float64 [B, n] -> float64 [B] or [B, K]
    n : number of rows
    groups : int64 [n] or None, rows that are drawn together (a patient's images); -1: a group of its own
    resamples : number of resamples; those that leave the statistic undefined (nan) are left out

    Returns
    -------
    (low, high), float64 [] or [K]; nan with fewer than two groups or where no resample defines the statistic.
    """
    numbers = group_numbers(groups, n)
    if len(np.unique(numbers)) < 2:
        undefined = np.full(statistic(np.ones((1, n))).shape[1:], np.nan)
        return undefined, undefined.copy()
    values = np.concatenate([statistic(weights) for weights in resampled(numbers, resamples, seed)])
    ends = [_percentiles(column) for column in values.reshape(len(values), -1).T]
    low, high = np.array(ends).T.reshape(2, *values.shape[1:])
    return low, high


def _percentiles(values: Floats) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def known(low: float, high: float) -> dict[str, float | None]:
    """{low, high} of a bootstrap; None where undefined or without spread, which says nothing of the uncertainty."""
    spread = bool(np.isfinite(low) and low < high)
    return {"low": float(low) if spread else None, "high": float(high) if spread else None}


def add_rate(entry: dict[str, Any], right: NDArray[np.bool_], owners: Ints) -> None:
    """Give a rate its `n`, `successes` and `wilson`; where the bootstrap had no spread, Wilson's interval over groups.

    Parameters
    ----------
    entry : {value, low, high}
    right : bool [n], the rows that the rate counts
    owners : int64 [n], their groups
    """
    n, successes = len(right), int(right.sum())
    entry |= {"n": n, "successes": successes}
    if n:
        entry["wilson"] = list(wilson(successes, n))
        if entry["low"] is None:
            groups = len(np.unique(owners))
            entry["low"], entry["high"] = wilson(successes / n * groups, groups)


def paired(
    first: Floats, second: Floats, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Mean of `first - second` over the rows where both are defined, with its bootstrap interval.

    Parameters
    ----------
    first, second : float [N], a value a row (a query), nan undefined
    groups : int64 [N] or None, as in `bootstrap`

    Returns
    -------
    {difference, low, high, n}: n rows counted; nan where undefined.
    """
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(difference))
    counted = difference[rows]

    def mean(weights: Floats) -> Floats:
        return ratio(weights @ counted, weights.sum(1))

    low, high = bootstrap(mean, len(rows), None if groups is None else groups[rows], resamples, seed)
    value = float(mean(np.ones((1, len(rows))))[0])
    return {"difference": value, "low": float(low), "high": float(high), "n": len(rows)}


def paired_statistic(
    first: Statistic, second: Statistic, n: int, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Difference of two statistics of the same rows (two models' AUC), both taken of each resample.

    Returns
    -------
    {difference, low, high, n}, as `paired`.
    """

    def difference(weights: Floats) -> Floats:
        return first(weights) - second(weights)

    low, high = bootstrap(difference, n, groups, resamples, seed)
    value = float(difference(np.ones((1, n)))[0])
    return {"difference": value, "low": float(low), "high": float(high), "n": n}
