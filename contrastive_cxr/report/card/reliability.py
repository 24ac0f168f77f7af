"""The card's items about calibration and thresholds; reports before version 2 have neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import contrastive_cxr.report.facts.words as words
from contrastive_cxr.report.card.found import Content, Found, Table

_ENTRIES = ("error", "brier", "log_loss")
_RATES = ("sensitivity", "specificity", "precision", "negative_predictive_value")
_DASH = "\N{EN DASH}"


def calibration(found: Found) -> Content:
    """How well probabilities agree with observed rates, before and after temperature scaling."""
    facts = found.facts.get("calibration")
    if not facts:
        return Content()
    columns = {"before scaling": facts["before"]}
    lines = [f"Probabilities of the predicted class, in {facts['bins']} bins of equal numbers of images."]
    if facts.get("after"):
        columns["after temperature scaling"] = facts["after"]
        lines.append(f"Temperature {facts['temperature']:.3g}, {_fitted(facts)}; the decisions stay the same.")
    perfect = facts["before"].get("perfect")
    if perfect:
        lines.append(
            f"A perfectly calibrated model would have an error of {perfect['mean']:.2f} at this count, at most "
            f"{perfect['high']:.2f} in 95 of 100 cases."
        )
    rows = tuple((words.title(name), *(words.score(entry[name]) for entry in columns.values())) for name in _ENTRIES)
    return Content(tuple(lines), (Table(("measure", *columns), rows),))


def thresholds(found: Found) -> Content:
    """The rate that each threshold should reach, and the rate that it reached on the scored images."""
    lines = found.facts.get("thresholds")
    if not lines:
        return Content()
    positive = found.facts["task"]["positive"]
    rows = tuple(_threshold(line) for line in lines)
    columns = ("wanted", "threshold", "where it was chosen", *(f"reached: {words.title(name)}" for name in _RATES))
    return Content(
        (f"Thresholds on the probability of {positive} against the rest: at or above it an image counts as positive.",),
        (Table(columns, rows),),
    )


def _threshold(line: Mapping[str, Any]) -> tuple[str, ...]:
    wanted = f"{line['of']} {line['wanted']:g}"
    if line.get("threshold") is None:
        return (wanted, "none", line.get("reason") or "not chosen", *[_DASH] * len(_RATES))
    chosen = line.get("chosen")
    where = _fitted(line)
    if chosen:
        where += f"; there {words.score(chosen['reached'])}"
    reached = line.get("reached") or {}
    shown = (words.score(reached[name]) if name in reached else _DASH for name in _RATES)
    return (wanted, f"{line['threshold']:.4g}", where, *shown)


def _fitted(facts: Mapping[str, Any]) -> str:
    """On which images it was fitted: the validation part, or by cross-fitting the scored images."""
    cross_fitted = facts.get("fitted_on") == "scored"
    where = "cross-fitted on the scored part" if cross_fitted else "fitted on the validation part"
    return where + (f", {facts['fitted_images']} images" if facts.get("fitted_images") else "")
