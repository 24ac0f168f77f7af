"""The figure of a comparison: the score of each run and its difference to the first run, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import contrastive_cxr.report.facts.words as words
from contrastive_cxr.report.figures.drawing import PALETTE, SOFT, STYLE, svg

LARGEST = 60  # rows; more would be too small to read


def forest(facts: Mapping[str, Any], name: str) -> str | None:
    """Score `name` of each run and, beside it, its paired difference; None if no run has the score.

    At most 60 runs are drawn, the first ones.
    """
    lines = [line for line in facts["runs"][:LARGEST] if (line["scores"].get(name) or {}).get("value") is not None]
    if not lines:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.9 + 0.3 * len(lines)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _panel(left, [_score_ends(line["scores"][name]) for line in lines], PALETTE[0])
        _panel(right, [_difference_ends(line, name) for line in lines], PALETTE[1])
        right.axvline(0, color=SOFT, lw=0.9, zorder=0)
        left.set_yticks(range(len(lines)), [line["name"] for line in lines])
        left.set_ylim(len(lines) - 0.5, -0.5)
        left.set_xlabel(words.title(name))
        right.set_xlabel(f"difference to {facts['against']}")
        return svg(figure)


Ends = tuple[float | None, float | None, float | None]


def _score_ends(entry: Mapping[str, Any]) -> Ends:
    return entry["value"], entry.get("low"), entry.get("high")


def _difference_ends(line: Mapping[str, Any], name: str) -> Ends:
    entry = None if line["against"] is None else line["against"]["paired"].get(name)
    return (None, None, None) if entry is None else (entry["difference"], entry["low"], entry["high"])


def _panel(axes: Axes, rows: Sequence[Ends], colour: str) -> None:
    for height, (value, low, high) in enumerate(rows):
        if value is not None:
            axes.plot(value, height, "o", color=colour, ms=5, zorder=3)
        if low is not None and high is not None:
            axes.plot([low, high], [height, height], color=colour, lw=2, alpha=0.45, solid_capstyle="round")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
