"""Calibration: how far stated probabilities are from what happens, and the temperature that mends it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from contrastive_cxr.metrics.fitting import Validation, fits
from contrastive_cxr.metrics.statistics import intervals, weighted
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints, ratio

BINS = 10
"""Bins of equal mass; fewer where they would hold under 10 images."""
HOTTEST = 20.0
"""Largest temperature that is tried; the smallest is its inverse."""
_TINY = 1e-12
_REDRAWN = 1000


def temperature(probabilities: Floats, labels: Ints) -> float:
    """The temperature T of least log loss for softmax(log p / T) (Guo et al. 2017), from 1/20 to 20.

    Parameters
    ----------
    probabilities : float [N, C]
    labels : int64 [N], at least one
    """
    logs = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), _TINY, 1.0))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(logs / np.exp(log_temperature), axis=1)[rows, labels].mean())

    end = float(np.log(HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=(-end, end), method="bounded", options={"xatol": 1e-6}).x))


def scale(probabilities: Floats, value: float) -> Floats:
    """Probabilities at temperature `value`, float64 [N, C]: above 1 they move together; their order stays."""
    logs = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), _TINY, 1.0))
    scaled: Floats = np.exp(log_softmax(logs / value, axis=1))
    return scaled


def bins(confidence: Floats) -> Ints:
    """Bin of each row, int64 [N]: bins of (about) equal mass by rising confidence, 10 of them or N // 10."""
    count = min(BINS, max(1, len(confidence) // 10))
    numbers = np.empty(len(confidence), dtype=np.int64)
    for number, rows in enumerate(np.array_split(np.argsort(confidence, kind="stable"), count)):
        numbers[rows] = number
    return numbers


def expected_error(confidence: Floats, happened: NDArray[np.bool_] | Floats, weights: Floats) -> Floats:
    """Expected calibration error (Naeini et al. 2015) over bins of equal mass, float64 [B].

    The mean over the bins, by their weight, of |mean confidence - share that happened|. The bins are those of the
    unweighted rows.

    Parameters
    ----------
    confidence : float64 [N], 0..1
    happened : bool [N]
    weights : float64 [B, N]
    """
    cells = np.eye(max(1, min(BINS, len(confidence) // 10)))[bins(confidence)]
    gaps = weights @ (cells * (confidence - happened)[:, None])
    return ratio(np.abs(gaps).sum(1), weights.sum(1))


def judged(
    probabilities: Floats, labels: Ints, groups: Ints | None = None, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Calibration of the decided class, which is the most probable one.

    Returns
    -------
    {error, log_loss, brier: score, perfect: {mean, high}}: the expected calibration error; what a perfectly calibrated
    model's would be at this count, its mean and 95 % quantile over redrawn outcomes (Broecker and Smith 2007), which
    is not 0 and large where images are few.
    """
    n = len(labels)
    confidence = probabilities.max(1) if n else np.empty(0)
    right = probabilities.argmax(1) == labels
    losses = -np.log(np.clip(probabilities[np.arange(n), labels], _TINY, 1.0))
    squares = weighted.brier(probabilities, labels)
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}

    def columns(weights: Floats) -> Floats:
        return np.stack([expected_error(confidence, right, weights), ratio(weights @ squares, weights.sum(1))], axis=1)

    values = columns(np.ones((1, n)))[0]
    low, high = intervals.bootstrap(columns, n, groups, **options)
    entries = {name: _entry(n, *each) for name, *each in zip(("error", "brier"), values, low, high, strict=True)}
    mean, half = intervals.spread(lambda weights: ratio(weights @ losses, weights.sum(1)), n, groups, **options)
    entries["log_loss"] = _entry(n, float(mean), max(0.0, float(mean - half)), float(mean + half))
    return {**entries, "perfect": perfect(confidence, seed)}


def perfect(confidence: Floats, seed: int = 0) -> dict[str, float] | None:
    """Calibration error that a perfectly calibrated model would show: mean and 95 % quantile; None without rows."""
    if not len(confidence):
        return None
    generator = np.random.default_rng(seed)
    cells = np.eye(max(1, min(BINS, len(confidence) // 10)))[bins(confidence)]
    gaps = [
        np.abs((confidence - (generator.random(len(confidence)) < confidence)) @ cells).sum() / len(confidence)
        for _ in range(_REDRAWN)
    ]
    return {"mean": float(np.mean(gaps)), "high": float(np.quantile(gaps, intervals.LEVEL))}


def reliability(confidence: Floats, happened: NDArray[np.bool_], owners: Ints) -> list[dict[str, Any]]:
    """The points of a reliability diagram: {confidence: mean, rate: score} of each bin of equal mass."""
    if not len(confidence):
        return []
    numbers, points = bins(confidence), []
    for number in range(int(numbers.max()) + 1):
        mine = numbers == number
        entry: dict[str, Any] = {"value": float(happened[mine].mean()), "low": None, "high": None}
        intervals.add_rate(entry, happened[mine], owners[mine])
        points.append({"confidence": float(confidence[mine].mean()), "rate": entry})
    return points


def report(
    probabilities: Floats,
    labels: Ints,
    positive: int,
    groups: Ints | None = None,
    validation: Validation | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Calibration before and after temperature scaling.

    Parameters
    ----------
    probabilities : float64 [N, C]
    labels : int64 [N]
    positive : number of the positive class
    groups : int64 [N] or None, patients (-1 unknown)
    validation : what the temperature is fitted on; None: cross-fitting over groups of the scored rows

    Returns
    -------
    {bins, before, after, temperature, reliability: {decided, positive, decided_after: [points]}}; `before` and `after`
    as from `judged`, `after` and `temperature` None where there is nothing to fit on. A cross-fitted `temperature` is
    the one of all rows; `after` used those of the other folds.
    """
    owners = intervals.group_numbers(groups, len(labels))
    options: dict[str, Any] = {"groups": groups, "resamples": resamples, "seed": seed}
    found = {"decided": probabilities.max(1) if len(labels) else np.empty(0), "positive": probabilities[:, positive]}
    right = probabilities.argmax(1) == labels
    facts: dict[str, Any] = {
        "bins": int(bins(found["decided"]).max(initial=-1)) + 1,
        "before": judged(probabilities, labels, **options),
        "after": None,
        "temperature": None,
        "reliability": {
            "decided": reliability(found["decided"], right, owners),
            "positive": reliability(found["positive"], labels == positive, owners),
        },
    }
    parts = fits(validation, probabilities, labels, owners)
    if parts:
        after = np.empty_like(probabilities)
        for part in parts:
            after[part.applied] = scale(probabilities[part.applied], temperature(part.probabilities, part.labels))
        whole = parts[0] if validation is not None else None
        facts["after"] = judged(after, labels, **options)
        facts["temperature"] = (
            temperature(probabilities, labels) if whole is None else temperature(whole.probabilities, whole.labels)
        )
        facts["reliability"]["decided_after"] = reliability(after.max(1), right, owners)
    return facts


def _entry(n: int, value: float, low: float, high: float) -> dict[str, Any]:
    if not np.isfinite(value):
        return {"value": None, "n": n, "low": None, "high": None, "reason": "no rows"}
    return {"value": float(value), "n": n, **intervals.known(float(low), float(high))}
