"""What the card says of calibration and of thresholds; reports before version 2 have neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import contrastive_cxr.report.facts.words as words
from contrastive_cxr.report.card.found import Content, Found, Table

_ENTRIES = ("error", "brier", "log_loss")
_RATES = ("sensitivity", "specificity", "precision", "negative_predictive_value")
_DASH = "\N{EN DASH}"


def calibration(found: Found) -> Content:
    """How far probabilities can be taken at their word, before and after temperature scaling."""
    facts = found.facts.get("calibration")
    if not facts:
        return Content()
    columns = {"as the model says them": facts["before"]}
    lines = [f"Of the decided class, in {facts['bins']} bins of equal numbers of images."]
    if facts.get("after"):
        columns["after temperature scaling"] = facts["after"]
        lines.append(f"Temperature {facts['temperature']:.3g}, {_fitted(facts)}; the decisions stay the same.")
    perfect = facts["before"].get("perfect")
    if perfect:
        lines.append(
            f"A model calibrated without fault would show an error of {perfect['mean']:.2f} at this count, at most "
            f"{perfect['high']:.2f} in 95 of 100 cases."
        )
    rows = tuple((words.title(name), *(words.score(entry[name]) for entry in columns.values())) for name in _ENTRIES)
    return Content(tuple(lines), (Table(("measure", *columns), rows),))


def thresholds(found: Found) -> Content:
    """What was wanted of a threshold, and what it reached on the scored images."""
    lines = found.facts.get("thresholds")
    if not lines:
        return Content()
    positive = found.facts["task"]["positive"]
    rows = tuple(_threshold(line) for line in lines)
    columns = ("wanted", "threshold", "where it was chosen", *(f"reached: {words.title(name)}" for name in _RATES))
    return Content(
        (f"Of the probability of {positive}, against the rest: decided positive at or above it.",),
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
    """On which images it was fitted: the validation part, or, crosswise, the scored ones themselves."""
    crosswise = facts.get("fitted_on") == "scored"
    where = "cross-fitted on the scored part" if crosswise else "fitted on the validation part"
    return where + (f", {facts['fitted_images']} images" if facts.get("fitted_images") else "")
