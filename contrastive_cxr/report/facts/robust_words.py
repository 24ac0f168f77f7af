"""What benign changes and images from elsewhere cost, in sentences.

A change has a cost where the whole interval of its difference lies below 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import contrastive_cxr.report.facts.words as words

SHOWN = 5
"""Kinds of change that have a sentence of their own, the worst ones."""


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What the changes cost, the worst first; `found` as from `metrics.robustness.report`."""
    kinds = len(found["changes"])
    cases = sum(len(change["severities"]) for change in found["changes"])
    costly = [line for line in map(telling, worst_first(found["changes"])) if line is not None]
    told = [f"{upper(line['words'])} {costs(line['difference']['accuracy'])}." for line in costly[:SHOWN]]
    if len(costly) > SHOWN:
        told.append(f"{len(costly) - SHOWN} more of the {kinds} kinds of change cost accuracy too.")
    if not costly:
        told.append(f"None of the {kinds} kinds of change costs accuracy that can be told from noise.")
    worst, single = found["worst"], found["worst_case"]
    lost = costs(worst["difference"]["accuracy"])
    if lost:
        told.append(f"The worst change is the {worst['title']}: over its severities it {lost}.")
    if costs(single["difference"]["accuracy"]):
        left = single["scores"]["accuracy"]["value"]
        told.append(f"The worst single case is {single['words']}: accuracy {left:.2f}.")
    told.append(mean(found))
    told.append(
        f"{cases} cases are looked at and nothing is adjusted for that: about one in twenty such intervals lies "
        "wholly below or above 0 by chance, and the worst of many looks worse than it is."
    )
    return told


def worst_first(changes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The kinds of change by their mean accuracy, the lowest first."""
    return sorted(changes, key=lambda change: float(change["mean"]["scores"]["accuracy"]["value"]))


def telling(change: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The severity that a kind of change is told by: the middle one where it costs, else the first that does."""
    lines = change["severities"]
    order = sorted(lines, key=lambda line: abs(line["severity"] - 2))
    return next((line for line in order if costs(line["difference"]["accuracy"])), None)


def costs(entry: Mapping[str, Any]) -> str:
    """`costs 14 points of accuracy (10 to 18)`; empty where the interval does not keep below 0.

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
    """The mean over all kinds of change beside the images as they are."""
    entry, score, clean = found["mean"]["difference"]["accuracy"], found["mean"]["scores"], found["clean"]
    said = (
        f"Over all kinds of change the mean accuracy is {score['accuracy']['value']:.2f}, and "
        f"{clean['accuracy']['value']:.2f} on the images as they are"
    )
    if entry["low"] is None:
        return f"{said}."
    if entry["low"] <= 0 <= entry["high"]:
        return f"{said}: no difference that can be told from noise."
    how = "lower" if entry["difference"] < 0 else "higher"
    ends = between(entry) if how == "lower" else f"{number(entry['low'])} to {number(entry['high'])}"
    return f"{said}: {points(abs(entry['difference']))} {how} ({ends})."


def external_sentences(found: Mapping[str, Any]) -> list[str]:
    """What an external test lacks against the recorded part, `found` as the report's `external_drop`."""
    recorded = found["recorded"]
    part = f"on these images than on the run's own {recorded['split']} part of {recorded['n']} images"
    low = {name: entry for name, entry in found["scores"].items() if lower(entry)}
    told = [
        f"{words.title(name)} is {points(-entry['difference'])} lower ({between(entry)}) {part}."
        for name, entry in low.items()
    ]
    told += [
        f"The recall of {name} is {points(-entry['difference'])} lower ({between(entry)})."
        for name, entry in found["recall"].items()
        if lower(entry)
    ]
    unknown = [
        f"{words.title(name)} is {points(-entry['difference'])} lower {part}; this difference has no interval."
        for name, entry in found["scores"].items()
        if entry["difference"] is not None and entry["difference"] < 0 and entry["high"] is None
    ]
    return told + unknown or [f"No score is lower {part} by more than noise."]


def lower(entry: Mapping[str, Any]) -> bool:
    """Whether the whole interval of a difference lies below 0."""
    return entry["difference"] is not None and entry["high"] is not None and entry["high"] < 0


def points(share: float) -> str:
    """A share in points of a hundred.

    Examples
    --------
    >>> points(0.14), points(0.014), points(0.01)
    ('14 points', '1.4 points', '1 point')
    """
    said = number(share)
    return f"{said} point{'' if said == '1' else 's'}"


def between(entry: Mapping[str, Any]) -> str:
    """The ends of a fall's interval in points, the smaller first."""
    return f"{number(-entry['high'])} to {number(-entry['low'])}"


def number(share: float) -> str:
    """A share times a hundred: whole from ten on, else with one decimal."""
    value = 100 * share
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}".removesuffix(".0")


def upper(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]
