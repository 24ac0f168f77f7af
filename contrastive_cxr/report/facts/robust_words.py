"""Sentences about the scores under benign changes, and on images of an external test.

A change costs accuracy if the whole interval of its difference lies below 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import contrastive_cxr.report.facts.words as words

SHOWN = 5
"""How many kinds of change, the worst ones, have a sentence."""


def sentences(found: Mapping[str, Any]) -> list[str]:
    """Which changes cost accuracy, the worst first; `found` as from `metrics.robustness.report`."""
    kinds = len(found["changes"])
    cases = sum(len(change["severities"]) for change in found["changes"])
    costly = [line for line in map(shown_severity, worst_first(found["changes"])) if line is not None]
    lines = [f"{upper(line['words'])} {costs(line['difference']['accuracy'])}." for line in costly[:SHOWN]]
    if len(costly) > SHOWN:
        lines.append(f"{len(costly) - SHOWN} more of the {kinds} kinds of change cost accuracy too.")
    if not costly:
        lines.append(f"None of the {kinds} kinds of change costs a measurable amount of accuracy.")
    worst, single = found["worst"], found["worst_case"]
    lost = costs(worst["difference"]["accuracy"])
    if lost:
        lines.append(f"The worst change is the {worst['title']}: over its severities it {lost}.")
    if costs(single["difference"]["accuracy"]):
        accuracy = single["scores"]["accuracy"]["value"]
        lines.append(f"The worst single case is {single['words']}: accuracy {accuracy:.2f}.")
    lines.append(mean(found))
    lines.append(
        f"{cases} cases are measured and nothing is corrected for their number: about one in twenty such intervals "
        "lies wholly below or above 0 by chance, and the worst of many looks worse than it is."
    )
    return lines


def worst_first(changes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The kinds of change by their mean accuracy, the lowest first."""
    return sorted(changes, key=lambda change: float(change["mean"]["scores"]["accuracy"]["value"]))


def shown_severity(change: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The severity to report: the middle one if it costs accuracy, else the nearest that does; None if none does."""
    lines = change["severities"]
    order = sorted(lines, key=lambda line: abs(line["severity"] - 2))
    return next((line for line in order if costs(line["difference"]["accuracy"])), None)


def costs(entry: Mapping[str, Any]) -> str:
    """`costs 14 points of accuracy (10 to 18)`; empty unless the whole interval lies below 0.

    Examples
    --------
    >>> costs({"difference": -0.14, "low": -0.18, "high": -0.1, "n": 90})
    'costs 14 points of accuracy (10 to 18)'
    >>> costs({"difference": -0.14, "low": -0.3, "high": 0.02, "n": 90})
    ''
    """
    if not lower(entry):
        return ""
    return f"costs {points(-entry['difference'])} of accuracy ({between(entry)})"


def mean(found: Mapping[str, Any]) -> str:
    """The mean accuracy over all kinds of change, compared with the unchanged images."""
    entry, score, clean = found["mean"]["difference"]["accuracy"], found["mean"]["scores"], found["clean"]
    text = (
        f"Over all kinds of change the mean accuracy is {score['accuracy']['value']:.2f}, and "
        f"{clean['accuracy']['value']:.2f} on the unchanged images"
    )
    if entry["low"] is None:
        return f"{text}."
    if entry["low"] <= 0 <= entry["high"]:
        return f"{text}: no measurable difference."
    how = "lower" if entry["difference"] < 0 else "higher"
    ends = between(entry) if how == "lower" else f"{number(entry['low'])} to {number(entry['high'])}"
    return f"{text}: {points(abs(entry['difference']))} {how} ({ends})."


def external_sentences(found: Mapping[str, Any]) -> list[str]:
    """How much lower an external test scores than the recorded part; `found` is the report's `external_drop`."""
    recorded = found["recorded"]
    part = f"on these images than on the run's own {recorded['split']} part of {recorded['n']} images"
    low = {name: entry for name, entry in found["scores"].items() if lower(entry)}
    lines = [
        f"{words.title(name)} is {points(-entry['difference'])} lower ({between(entry)}) {part}."
        for name, entry in low.items()
    ]
    lines += [
        f"The recall of {name} is {points(-entry['difference'])} lower ({between(entry)})."
        for name, entry in found["recall"].items()
        if lower(entry)
    ]
    unknown = [
        f"{words.title(name)} is {points(-entry['difference'])} lower {part}; this difference has no interval."
        for name, entry in found["scores"].items()
        if entry["difference"] is not None and entry["difference"] < 0 and entry["high"] is None
    ]
    return lines + unknown or [f"No score is measurably lower {part}."]


def lower(entry: Mapping[str, Any]) -> bool:
    """Whether the whole interval of a difference lies below 0."""
    return entry["difference"] is not None and entry["high"] is not None and entry["high"] < 0


def points(share: float) -> str:
    """A share in percentage points.

    Examples
    --------
    >>> points(0.14), points(0.014), points(0.01)
    ('14 points', '1.4 points', '1 point')
    """
    text = number(share)
    return f"{text} point{'' if text == '1' else 's'}"


def between(entry: Mapping[str, Any]) -> str:
    """The ends of the interval of a decrease, in points, the smaller first."""
    return f"{number(-entry['high'])} to {number(-entry['low'])}"


def number(share: float) -> str:
    """A share times 100: a whole number from ten on, else with one decimal."""
    value = 100 * share
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}".removesuffix(".0")


def upper(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
