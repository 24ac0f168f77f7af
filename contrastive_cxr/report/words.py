"""Scores as a reader wants them: a name, a value, its count and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auc": "AUC",
    "macro_precision": "Precision, macro",
    "macro_recall": "Recall, macro",
    "macro_f1": "F1, macro",
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
    """The value with `digits` decimals, or a dash where there is none."""
    return _DASH if value is None else f"{value:.{digits}f}"


def digits(entry: Mapping[str, Any], grouped: bool) -> int:
    """Two decimals; three where two would make a 1.00 of a value or an end that is not 1."""
    shown = (entry["value"], *(ends(entry, grouped) or ()))
    return 3 if any(each is not None and 0.995 <= each < 1 for each in shown[:2]) else 2


def value(entry: Mapping[str, Any], grouped: bool = False) -> str:
    """The value alone, with the decimals that `score` gives it."""
    return number(entry["value"], digits(entry, grouped))


def ends(entry: Mapping[str, Any], grouped: bool) -> tuple[float, float] | None:
    """The interval to show: by patients where they are known (`grouped`), else Wilson's for a rate."""
    if not grouped and "wilson" in entry:
        return entry["wilson"][0], entry["wilson"][1]
    if entry.get("low") is None or entry.get("high") is None:
        return None
    return entry["low"], entry["high"]


def count(entry: Mapping[str, Any]) -> str:
    """`8/9` for a rate, `n 9` for another score."""
    return f"{entry['successes']}/{entry['n']}" if "successes" in entry else f"n {entry['n']}"


def interval(entry: Mapping[str, Any], grouped: bool) -> str:
    """`0.57-0.98` with a proper dash; empty where there is none."""
    found = ends(entry, grouped)
    if found is None:
        return ""
    places = digits(entry, grouped)
    return f"{number(found[0], places)}{_DASH}{number(found[1], places)}"


def score(entry: Mapping[str, Any], grouped: bool = False) -> str:
    """`0.89 (8/9; 0.57-0.98)`; an undefined score says why.

    Examples
    --------
    >>> score({"value": 8 / 9, "n": 9, "successes": 8, "wilson": [0.565, 0.980]}).replace(_DASH, "-")
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
    """`better`, `worse` or `unclear`: whether the paired interval keeps off 0."""
    if entry["low"] is None or entry["low"] <= 0 <= entry["high"]:
        return "unclear"
    return "better" if entry["low"] > 0 else "worse"
