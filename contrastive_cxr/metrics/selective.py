"""Selective decisions: reject what looks unsure or unfamiliar, and see what accuracy remains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.metrics.statistics import intervals
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints, ratio

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_POINTS = 100


def area(trust: Floats, right: NDArray[np.bool_], weights: Floats) -> Floats:
    """Area under the risk-coverage curve (Geifman and El-Yaniv 2017), float64 [B]; less is better.

    The mean over the rows, by falling trust, of the share of wrong decisions among those kept so far; equal trust is
    kept at once.

    Parameters
    ----------
    trust : float64 [N], higher is kept longer
    right : bool [N], whether the decision was right
    weights : float64 [B, N]
    """
    if not len(trust):
        return np.full(len(weights), np.nan)
    order = np.argsort(-trust, kind="stable")
    ranked = trust[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    drawn = weights[:, order]
    wrong = np.add.reduceat(drawn * ~right[order], starts, axis=1).cumsum(1)
    kept = np.add.reduceat(drawn, starts, axis=1)
    so_far = kept.cumsum(1)
    risks = wrong / np.maximum(so_far, 1.0)
    return ratio((kept * risks).sum(1), so_far[:, -1])


def curve(trust: Floats, right: NDArray[np.bool_]) -> list[list[float]]:
    """[[coverage, accuracy of the kept], ...] by rising coverage, at most 100 points; equal trust is kept at once."""
    order = np.argsort(-trust, kind="stable")
    ranked, hits = trust[order], np.cumsum(right[order])
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    ends = ends[np.unique(np.linspace(0, len(ends) - 1, min(len(ends), _POINTS)).round().astype(int))]
    points = np.stack([(ends + 1) / len(trust), hits[ends] / (ends + 1)], axis=1)
    return [[float(value) for value in point] for point in points.round(4)]


def report(
    trusts: Mapping[str, Floats],
    right: NDArray[np.bool_],
    groups: Ints | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any] | None:
    """What accuracy remains when the least trusted images are rejected, by each way to trust.

    Parameters
    ----------
    trusts : {name: float64 [N], higher is kept longer}
    right : bool [N], whether the decision was right
    groups : int64 [N] or None, patients (-1 unknown)

    Returns
    -------
    {random, ideal, by: {name: {area: score, kept: [{coverage, accuracy: score}], curve}}}; None without rows. `random`
    is the area when images are rejected blindly (the error rate), `ideal` when the wrong ones go first.
    """
    n = len(right)
    if not n:
        return None
    owners = intervals.group_numbers(groups, n)
    ones = np.ones((1, n))
    # the right ones come first, each row its own step
    best = np.argsort(np.argsort(right, kind="stable"), kind="stable").astype(np.float64)
    found = {
        name: {
            "area": _area(trust, right, groups, resamples, seed),
            "kept": _kept(trust, right, owners),
            "curve": curve(trust, right),
        }
        for name, trust in trusts.items()
    }
    return {"random": float((~right).mean()), "ideal": float(area(best, right, ones)[0]), "by": found}


def _area(trust: Floats, right: NDArray[np.bool_], groups: Ints | None, resamples: int, seed: int) -> dict[str, Any]:
    """{value, n, low, high} of the area under the risk-coverage curve."""

    def areas(weights: Floats) -> Floats:
        return area(trust, right, weights)

    n = len(right)
    low, high = intervals.bootstrap(areas, n, groups, resamples, seed)
    return {"value": float(areas(np.ones((1, n)))[0]), "n": n, **intervals.known(float(low), float(high))}


def _kept(trust: Floats, right: NDArray[np.bool_], owners: Ints) -> list[dict[str, Any]]:
    """Accuracy of the most trusted share of the images, at each of `COVERAGES`; equal trust is kept at once."""
    ranked, lines = np.sort(trust)[::-1], []
    for coverage in COVERAGES:
        rows = np.flatnonzero(trust >= ranked[max(1, round(coverage * len(ranked))) - 1])
        entry: dict[str, Any] = {"value": float(right[rows].mean()), "low": None, "high": None}
        intervals.add_rate(entry, right[rows], owners[rows])
        lines.append({"coverage": coverage, "accuracy": entry})
    return lines
