"""Thresholds chosen on validation for a wanted sensitivity or specificity, and what they reach on other images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.metrics.fitting import Validation, fits
from contrastive_cxr.metrics.statistics import intervals
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints

Flags = NDArray[np.bool_]
SENSITIVITY, SPECIFICITY = "sensitivity", "specificity"


def choose(scores: Floats, positive: Flags, kind: str, wanted: float) -> tuple[float | None, str]:
    """The threshold that reaches `wanted` at the least cost to the other rate; decided positive is score >= threshold.

    Parameters
    ----------
    scores : float64 [N], higher for the positive class
    positive : bool [N]
    kind : `sensitivity` or `specificity`
    wanted : 0..1

    Returns
    -------
    (threshold, "") or (None, why it cannot be reached). To call every image positive, or none, is no way to reach it.

    Examples
    --------
    >>> scores, positive = np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, True, False, True])
    >>> choose(scores, positive, "sensitivity", 0.9)
    (0.4, '')
    >>> choose(scores, positive, "specificity", 0.9)
    (0.9, '')
    """
    mine = positive if kind == SENSITIVITY else ~positive
    count = int(mine.sum())
    if not count:
        return (
            None,
            f"no image of {'the positive class' if kind == SENSITIVITY else 'the other classes'} to choose it on",
        )
    needed = max(1, int(np.ceil(wanted * count - 1e-9)))
    ranked = np.sort(scores[mine])
    if kind == SENSITIVITY:
        threshold = float(ranked[count - needed])
        if threshold <= scores.min() and not positive.all():
            return None, f"sensitivity {wanted:g} is reached only by calling every image positive"
        return threshold, ""
    above = scores[scores > ranked[needed - 1]]
    if not len(above):
        return None, f"specificity {wanted:g} is reached only by calling no image positive"
    return float(above.min()), ""


def reached(decided: Flags, positive: Flags, owners: Ints) -> dict[str, dict[str, Any]]:
    """Sensitivity, specificity, precision and negative predictive value of decisions, each a rate with its interval.

    Parameters
    ----------
    decided, positive : bool [N]
    owners : int64 [N], groups
    """
    counted = {
        "sensitivity": (positive, decided, "no image of the positive class"),
        "specificity": (~positive, ~decided, "no image of another class"),
        "precision": (decided, positive, "no image was decided positive"),
        "negative_predictive_value": (~decided, ~positive, "every image was decided positive"),
    }
    return {name: _rate(right[rows], owners[rows], why) for name, (rows, right, why) in counted.items()}


def report(
    scores: Floats,
    positive: Flags,
    targets: Mapping[str, float],
    groups: Ints | None = None,
    validation: Validation | None = None,
    number: int = 1,
) -> list[dict[str, Any]]:
    """A line a target: its threshold, what that reached where it was chosen, and what it reached on the scored rows.

    Parameters
    ----------
    scores : float64 [N], probability of the positive class
    positive : bool [N]
    targets : {`sensitivity` or `specificity`: wanted rate}
    groups : int64 [N] or None, patients (-1 unknown)
    validation : what thresholds are chosen on; None: cross-fitting over groups of the scored rows
    number : column of the positive class in the validation's probabilities

    Returns
    -------
    [{of, wanted, threshold, reason, chosen: {positives, others, reached} | None, reached | None}]; a cross-fitted
    `threshold` is the one of all rows, `chosen` is None then, and `reached` used those of the other folds.
    """
    owners = intervals.group_numbers(groups, len(scores))
    columns = np.column_stack([1 - scores, scores])
    known = None if validation is None else _binary(validation, number)
    parts = fits(known, columns, positive.astype(np.int64), owners)
    lines = []
    for kind, wanted in targets.items():
        line: dict[str, Any] = {"of": kind, "wanted": wanted, "threshold": None, "reason": "", "chosen": None}
        line |= {"reached": None}
        if not parts:
            lines.append(line | {"reason": "no images to choose it on"})
            continue
        each = [choose(part.probabilities[:, 1], part.labels == 1, kind, wanted) for part in parts]
        found = [threshold for threshold, _ in each if threshold is not None]
        if len(found) < len(parts):
            lines.append(line | {"reason": next(why for threshold, why in each if threshold is None)})
            continue
        decided = np.zeros(len(scores), dtype=bool)
        for part, threshold in zip(parts, found, strict=True):
            decided[part.applied] = scores[part.applied] >= threshold
        line["reached"] = reached(decided, positive, owners)
        if known is None:
            line["threshold"] = choose(scores, positive, kind, wanted)[0]
        else:
            line |= {"threshold": found[0], "chosen": _chosen(known, found[0], kind)}
        lines.append(line)
    return lines


def _binary(validation: Validation, number: int) -> Validation:
    """The positive class against the rest."""
    given = np.asarray(validation.probabilities, dtype=np.float64)[:, number]
    return Validation(np.column_stack([1 - given, given]), (validation.labels == number).astype(np.int64))


def _chosen(known: Validation, threshold: float, kind: str) -> dict[str, Any]:
    """What a threshold reached on the images that it was chosen on; their patients are not told apart."""
    positive = known.labels == 1
    found = reached(known.probabilities[:, 1] >= threshold, positive, np.arange(len(positive)))
    return {"positives": int(positive.sum()), "others": int((~positive).sum()), "reached": found[kind]}


def _rate(right: Flags, owners: Ints, why: str) -> dict[str, Any]:
    if not len(right):
        return {"value": None, "n": 0, "low": None, "high": None, "reason": why}
    entry: dict[str, Any] = {"value": float(right.mean()), "low": None, "high": None}
    intervals.add_rate(entry, right, owners)
    return entry
