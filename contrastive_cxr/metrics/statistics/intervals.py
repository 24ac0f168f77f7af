"""95 % intervals over groups (patients): bootstrap, paired differences, Wilson's interval of a rate.

A bootstrap's percentiles cover too little where the groups are few (Efron and Tibshirani 1993, chapter 14). So the
bootstrap gives the standard error alone, widened for few groups, and the interval is built from it with Student's t: on
the logit scale for a score between 0 and 1 (Pepe 2003, for the AUC), as it is for a difference. A rate has Wilson's
interval, its count divided by the design effect of the groups. How often such intervals hold the truth is measured in
`benchmarks/results/interval_coverage.json`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from contrastive_cxr.metrics.statistics.weighted import Floats, Ints, ratio

Statistic: TypeAlias = Callable[[Floats], Floats]
"""Row weights [B, N] -> values [B] or [B, K]; nan where a resample leaves it undefined."""

LEVEL = 0.95
SMALL = 50
"""Groups below which an interval is rough (`benchmarks/results/interval_coverage.json`)."""
_BLOCK = 1_000_000  # weights held at once: 8 MB, about a core's cache


def wilson(successes: float, n: float, level: float = LEVEL, quantile: float | None = None) -> tuple[float, float]:
    """Wilson's score interval of a rate (Wilson 1927); (0, 1), nothing known, where `n` is 0.

    Parameters
    ----------
    quantile : float, optional
        In the place of the normal one of `level`, such as Student's t.

    Examples
    --------
    >>> [round(end, 2) for end in wilson(8, 9)]
    [0.57, 0.98]
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2) if quantile is None else quantile
    rate = successes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(0.0, rate * (1 - rate)) / n + z * z / (4 * n * n))
    # by rounding, the end at a rate of 0 or 1 would miss it
    return max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half))


def design_effect(right: NDArray[np.bool_], groups: Ints) -> float:
    """How much wider the groups make the variance of a rate than rows on their own would (Kish 1965).

    The variance is the ratio estimator's by the jackknife over groups (Cochran 1977, chapter 6): groups are drawn, and
    their sizes with them. A rate of 0 or 1 shows no variance: the effect is then the mean size of a group, about the
    most that groups which agree can do.

    Parameters
    ----------
    right : bool [n]
    groups : int64 [n]

    Returns
    -------
    float, at least 1; 1 where every row is a group of its own.
    """
    n, names = len(right), np.unique(groups, return_inverse=True)[1]
    count = int(names.max()) + 1
    if count == n:
        return 1.0
    rate = right.mean()
    if rate in (0.0, 1.0) or count < 2:
        return n / count
    left_out = np.bincount(names, right - rate, count) / (n - np.bincount(names, minlength=count))
    variance = (count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum())
    return float(max(1.0, variance * n / (rate * (1 - rate))))


def rate(right: NDArray[np.bool_], groups: Ints) -> tuple[float, float]:
    """Wilson's interval of a rate over groups: the count is divided by the design effect, and Student's t of as many
    degrees of freedom as there are groups, less one, stands for the normal quantile (Korn and Graubard 1998; Dean and
    Pavlou 2015 compare such intervals). A rate of 0 or 1 estimates no variance and keeps the normal quantile.

    Parameters
    ----------
    right : bool [n]
    groups : int64 [n]
    """
    n = len(right)
    if not n:
        return 0.0, 1.0
    count = len(np.unique(groups))
    if count == n:
        return wilson(float(right.sum()), n)
    told = n / design_effect(right, groups)
    quantile = t_quantile(count) if 0 < right.mean() < 1 and count > 1 else None
    return wilson(float(right.mean()) * told, told, quantile=quantile)


def t_quantile(groups: float) -> float:
    """Student's t of 95 % with `groups` - 1 degrees of freedom."""
    return float(stdtrit(max(groups - 1, 1), 0.5 + LEVEL / 2))


def effective(groups: Ints) -> float:
    """How many groups of one size would tell as much (Kish 1965): N^2 / sum of squared sizes; at least 1.5.

    Examples
    --------
    >>> effective(np.array([0, 0, 1, 1])), effective(np.array([0, 0, 0, 1]))
    (2.0, 1.6)
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return max(1.5, float(sizes.sum() ** 2 / (sizes @ sizes)))


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


def spread(
    statistic: Statistic, n: int, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Value of a statistic and half of its plain interval: the bootstrap's standard error times Student's t.

    The standard error is that of drawing G groups from G, widened by E / (E - 1) as the jackknife that leaves out a
    group widens it, and t has E - 1 degrees of freedom: E, from `effective`, is G where the groups are of one size.

    Parameters
    ----------
    statistic : row weights float64 [B, n] -> float64 [B] or [B, K]
    n : number of rows
    groups : int64 [n] or None, rows that are drawn together (a patient's images); -1: a group of its own
    resamples : number of resamples; those that leave the statistic undefined (nan) are left out

    Returns
    -------
    (value, half), float64 [] or [K]; half is nan with fewer than two groups or where fewer than two resamples define
    the statistic.
    """
    numbers = group_numbers(groups, n)
    count = len(np.unique(numbers))
    value = statistic(np.ones((1, n)))[0]
    if count < 2:
        return value, np.full(np.shape(value), np.nan)
    values = np.concatenate([statistic(weights) for weights in resampled(numbers, resamples, seed)])
    columns = values.reshape(len(values), -1)
    defined = np.isfinite(columns)
    times = defined.sum(0)
    mean = ratio(np.where(defined, columns, 0.0).sum(0), times)
    squares = np.where(defined, (columns - mean) ** 2, 0.0).sum(0)
    error = np.sqrt(ratio(squares, np.maximum(times - 1, 0))).reshape(np.shape(value))
    alike = effective(numbers)
    return value, t_quantile(alike) * alike / (alike - 1) * error


def bootstrap(
    statistic: Statistic, n: int, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> tuple[Floats, Floats]:
    """Interval of a score between 0 and 1 over resampled groups, on the logit scale; parameters as in `spread`.

    Returns
    -------
    (low, high), float64 [] or [K]; nan where there is no spread, or the score is 0 or 1.
    """
    return logit_ends(*spread(statistic, n, groups, resamples, seed))


def logit_ends(value: Floats, half: Floats) -> tuple[Floats, Floats]:
    """Ends of the interval of scores between 0 and 1 on the logit scale, from half their plain interval (`spread`).

    Returns
    -------
    (low, high), float64 like `value`; nan where there is no spread, or the score is 0 or 1.
    """
    inside = np.isfinite(value) & (value > 0) & (value < 1) & (half > 1e-12)
    centre = np.where(inside, value, 0.5)
    width = np.where(inside, half, np.nan) / (centre * (1 - centre))
    return expit(logit(centre) - width), expit(logit(centre) + width)


def known(low: float, high: float) -> dict[str, float | None]:
    """{low, high} of a bootstrap; None where undefined or without spread, which says nothing of the uncertainty."""
    there = bool(np.isfinite(low) and low < high)
    return {"low": float(low) if there else None, "high": float(high) if there else None}


def add_rate(entry: dict[str, Any], right: NDArray[np.bool_], owners: Ints) -> None:
    """Give a rate its `n`, `successes`, `wilson` (rows taken as independent), `low`, `high` and `design_effect`.

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
        entry["low"], entry["high"] = rate(right, owners)
        entry["design_effect"] = design_effect(right, owners)


def difference(value: float | Floats, half: float | Floats, n: int) -> dict[str, Any]:
    """{difference, low, high, n} of a value and half its interval; the ends are None where there is no spread: two
    classifiers that never differ show nothing of how much they could."""
    low, high = (float(value - half), float(value + half)) if half > 1e-12 else (None, None)
    return {"difference": float(value), "low": low, "high": high, "n": n}


def paired(
    first: Floats, second: Floats, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Mean of `first - second` over the rows where both are defined, with its bootstrap interval.

    Parameters
    ----------
    first, second : float [N], a value a row (a query), nan undefined
    groups : int64 [N] or None, as in `spread`

    Returns
    -------
    {difference, low, high, n}: n rows counted; nan where undefined.
    """
    gaps = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(gaps))
    counted = gaps[rows]

    def mean(weights: Floats) -> Floats:
        return ratio(weights @ counted, weights.sum(1))

    value, half = spread(mean, len(rows), None if groups is None else groups[rows], resamples, seed)
    return difference(value, half, len(rows))


def paired_statistic(
    first: Statistic, second: Statistic, n: int, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Difference of two statistics of the same rows (two models' AUC), both taken of each resample.

    Returns
    -------
    {difference, low, high, n}, as `paired`.
    """

    def gain(weights: Floats) -> Floats:
        return first(weights) - second(weights)

    return difference(*spread(gain, n, groups, resamples, seed), n)


def independent(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Difference `first - second` of one score on two sets of images that share none, from the scores' own intervals.

    The distances from each value to the ends of its interval are added as squares (Newcombe 1998, method 10, for rates;
    Zou and Donner 2008 for any score), so that unequal distances stay unequal.

    Parameters
    ----------
    first, second : {value, n, low, high}

    Returns
    -------
    {difference, low, high, n}: n of the first; None where a value or an end is undefined.

    Examples
    --------
    >>> first = {"value": 0.7, "n": 80, "low": 0.6, "high": 0.8}
    >>> second = {"value": 0.8, "n": 90, "low": 0.7, "high": 0.9}
    >>> {name: round(value, 3) for name, value in independent(first, second).items()}
    {'difference': -0.1, 'low': -0.241, 'high': 0.041, 'n': 80}
    """
    one, other = first.get("value"), second.get("value")
    ends = [entry.get(name) for entry in (first, second) for name in ("low", "high")]
    found: dict[str, Any] = {"difference": None, "low": None, "high": None, "n": first.get("n")}
    if one is None or other is None:
        return found
    found["difference"] = one - other
    if None not in ends:
        found["low"] = one - other - math.hypot(one - ends[0], ends[3] - other)
        found["high"] = one - other + math.hypot(ends[1] - one, other - ends[2])
    return found
