"""Scores in words: a name, a value, its count and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contrastive_cxr.metrics.statistics.intervals import SMALL

COVERED = (0.94, 0.99)
"""Range of the measured coverage of the 95 % intervals at 25 images: benchmarks/results/interval_coverage.json."""
NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc": "AUC",
    "robust_auc": "AUC under changes",
    "macro_precision": "Precision, macro",
    "macro_recall": "Recall, macro",
    "macro_f1": "F1, macro",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "error": "Expected calibration error",
    "log_loss": "Log loss",
    "sensitivity": "Sensitivity",
    "negative_predictive_value": "Negative predictive value",
    "confidence": "Confidence",
    "neighbour_distance": "Neighbour distance",
    "passed_on": "Stage 1, passed on by mistake",
    "held_back": "Stage 1, held back by mistake",
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "f1": "F1",
    "r_precision": "R-precision",
    "map_at_r": "MAP@R",
    "knn_accuracy": "k-NN vote, accuracy",
    "knn_auc": "k-NN vote, AUC",
    "loss": "Loss",
    "pretrain": "Phase 1 · pretrain",
    "embed": "Phase 2 · embed",
    "finetune": "Phase 3 · finetune",
    "cascade": "Cascade",
    "flat": "Flat",
    "stage1": "Stage 1",
    "stage2": "Stage 2",
    "joined": "Joined probabilities",
    "verdicts": "Verdict by stages",
    "by_cost": "Least expected cost",
    "most_probable": "Most probable class",
    "weights": "Number of weights",
}
_DASH = "\N{EN DASH}"


def title(name: str) -> str:
    """Readable name of a score, phase or stage.

    Examples
    --------
    >>> title("recall_at_5"), title("spread")
    ('Recall@5', 'Spread')
    """
    if name in NAMES:
        return NAMES[name]
    return name.replace("_at_", "@").replace("_", " ").capitalize()


def number(value: float | None, digits: int = 2) -> str:
    """The value with `digits` decimals, or a dash for None."""
    return _DASH if value is None else f"{value:.{digits}f}"


def digits(entry: Mapping[str, Any], grouped: bool) -> int:
    """Two decimals; three if two would show a value, or an end of the interval, as 1.00 that is not 1."""
    shown = (entry["value"], *(ends(entry, grouped) or ()))
    return 3 if any(each is not None and 0.995 <= each < 1 for each in shown[:2]) else 2


def value(entry: Mapping[str, Any], grouped: bool = False) -> str:
    """The value only, with as many decimals as in `score`."""
    return number(entry["value"], digits(entry, grouped))


def ends(entry: Mapping[str, Any], grouped: bool) -> tuple[float, float] | None:
    """The interval to show. `grouped` has no effect: the intervals of rates include the design effect."""
    if entry.get("low") is None or entry.get("high") is None:
        return None
    return entry["low"], entry["high"]


def count(entry: Mapping[str, Any]) -> str:
    """`8/9` for a rate, `n 9` for another score."""
    return f"{entry['successes']}/{entry['n']}" if "successes" in entry else f"n {entry['n']}"


def interval(entry: Mapping[str, Any], grouped: bool) -> str:
    """`0.57-0.98` with an en dash; empty if there is no interval."""
    found = ends(entry, grouped)
    if found is None:
        return ""
    places = digits(entry, grouped)
    return f"{number(found[0], places)}{_DASH}{number(found[1], places)}"


def score(entry: Mapping[str, Any], grouped: bool = False) -> str:
    """`0.89 (8/9; 0.57-0.98)`; for an undefined score the reason.

    Examples
    --------
    >>> score({"value": 8 / 9, "n": 9, "successes": 8, "low": 0.565, "high": 0.980}).replace(_DASH, "-")
    '0.89 (8/9; 0.56-0.98)'
    """
    if entry["value"] is None:
        return f"undefined: {entry.get('reason', 'too few rows')}"
    between = interval(entry, grouped)
    return f"{value(entry, grouped)} ({count(entry)}{'; ' + between if between else ''})"


def difference(entry: Mapping[str, Any]) -> str:
    """`+0.05 (n 783; +0.02 to +0.08)` of a paired difference."""
    if entry["difference"] is None:
        return "undefined"
    between = "" if entry["low"] is None else f"; {entry['low']:+.2f} to {entry['high']:+.2f}"
    return f"{entry['difference']:+.2f} (n {entry['n']}{between})"


def verdict(entry: Mapping[str, Any]) -> str:
    """`better`, `worse`, or `unclear` if the paired interval contains 0."""
    if entry["low"] is None or entry["low"] <= 0 <= entry["high"]:
        return "unclear"
    return "better" if entry["low"] > 0 else "worse"


def few(groups: int, patients: bool) -> str | None:
    """A warning about the intervals of few patients (or images, if patients are unknown); None if there are enough."""
    if groups >= SMALL:
        return None
    return (
        f"These are {groups} {'patients' if patients else 'images'}, fewer than {SMALL}: the intervals are rough. "
        f"In simulations of 25 images the 95 % intervals contained the true value in {COVERED[0]:.0%} to "
        f"{COVERED[1]:.0%} of the cases, depending on the score."
    )


def adds(baseline: str, score: str, gain: Mapping[str, Any]) -> str:
    """A sentence: whether the model is better than its best blind baseline.

    Examples
    --------
    >>> adds("file metadata", "auc", {"difference": 0.01, "low": -0.02, "high": 0.04, "n": 90})[:43]
    'The model is not measurably better than the'
    """
    numbers = f"{title(score)} {difference(gain)}"
    over = f"the best blind baseline ({baseline})"
    if gain["difference"] is None or gain["low"] is None:
        return f"It is unknown whether the model is better than {over}: {numbers}."
    if gain["low"] > 0:
        return f"The model is better than {over}: {numbers}."
    if gain["high"] < 0:
        return f"The model is worse than {over}: {numbers}."
    return f"The model is not measurably better than {over}: {numbers}."
