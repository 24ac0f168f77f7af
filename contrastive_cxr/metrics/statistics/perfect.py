"""Intervals of scores without a single error, where a bootstrap has no width and would pretend to be certain."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

from scipy.optimize import brentq

from contrastive_cxr.metrics.statistics.intervals import LEVEL


def auc_bound(positives: int, negatives: int) -> float:
    """Lower end of the 95 % interval of an AUC of 1 (Newcombe 2006, part 2, method 5).

    The AUC whose distance to 1 is the normal quantile times its own standard error, that of Hanley and McNeil (1982)
    with the mean of both counts in the place of each.

    Parameters
    ----------
    positives, negatives : int
        Rows of each side, or patients where rows of one patient agree; at least 1.

    Examples
    --------
    >>> round(auc_bound(9, 9), 2), round(auc_bound(100, 100), 3)
    (0.75, 0.971)
    """
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    pairs, more = positives * negatives, (positives + negatives) / 2 - 1

    def gap(area: float) -> float:
        variance = area * (1 - area) / pairs * (1 + more * ((1 - area) / (2 - area) + area / (1 + area)))
        return (1 - area) ** 2 - z * z * variance

    return float(brentq(gap, 0.0, 1.0 - 1e-12))


def bound_auc(entry: dict[str, Any], positives: int, negatives: int) -> None:
    """Give an AUC of 1 (or 0) without an interval the bound of `auc_bound`."""
    if entry["low"] is None and entry["value"] in (0.0, 1.0):
        low = auc_bound(positives, negatives)
        entry |= {"low": low, "high": 1.0} if entry["value"] else {"low": 0.0, "high": 1.0 - low}
        entry["bound"] = True


def bound_f1(entry: dict[str, Any], recall: dict[str, Any], precision: dict[str, Any]) -> None:
    """Give an F1 without an interval the harmonic means of the ends of recall and precision."""
    if entry["low"] is None and entry["value"] is not None and None not in (recall["low"], precision["low"]):
        low, high = (
            2 * recall[end] * precision[end] / max(recall[end] + precision[end], 1e-12) for end in ("low", "high")
        )
        entry |= {"low": low, "high": high, "bound": True}


def bound_mean(entry: dict[str, Any], parts: Sequence[dict[str, Any]]) -> None:
    """Give a mean over classes without an interval the mean of the classes' ends: wider than it has to be.

    `parts` are the classes that the mean is over; where one of them has no ends, the mean gets none.
    """
    if entry["low"] is None and entry["value"] is not None and parts and all(p["low"] is not None for p in parts):
        low, high = (sum(part[end] for part in parts) / len(parts) for end in ("low", "high"))
        entry |= {"low": low, "high": high, "bound": True}
