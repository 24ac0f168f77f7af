"""The figure of robustness: the loss of accuracy for each benign change and severity, the worst change first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contrastive_cxr.report.facts.robust_words import upper, worst_first
from contrastive_cxr.report.figures.drawing import INK, REFERENCE, SOFT, STYLE, svg

SHADES = ("#9ecae1", "#4292c6", "#08519c")
"""Colours of the severities 1 to 3."""
_STEP = 0.24


def drops(found: Mapping[str, Any], score: str = "accuracy") -> str:
    """Changed minus clean score in points: one row for each kind of change, one dot with interval for each severity.

    Parameters
    ----------
    found : mapping
        As from `metrics.robustness.report`.
    """
    changes = worst_first(found["changes"])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.9 + 0.36 * len(changes)))
        axes = figure.subplots()
        axes.axvline(0, color=REFERENCE, lw=1.2, zorder=1)
        mean = found["mean"]["difference"][score]["difference"]
        if mean is not None:
            axes.axvline(100 * mean, color=SOFT, lw=1, ls=":", zorder=1, label="mean of all kinds")
        for row, change in enumerate(changes):
            for line in change["severities"]:
                middle = (len(change["severities"]) + 1) / 2
                _dot(axes, line, row + _STEP * (line["severity"] - middle), score)
        for severity, shade in enumerate(SHADES, start=1):
            axes.plot([], [], "o", color=shade, label=f"severity {severity}")
        axes.set_yticks(range(len(changes)), [_label(change) for change in changes])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(changes) - 0.4, -0.6)
        axes.set_xlabel(f"{score.replace('_', ' ')}: changed minus unchanged images, points")
        axes.grid(True, axis="x")
        axes.spines["left"].set_visible(False)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0, handletextpad=0.2)
        return svg(figure)


def _dot(axes: Axes, line: Mapping[str, Any], height: float, score: str) -> None:
    entry, shade = line["difference"][score], SHADES[min(line["severity"], len(SHADES)) - 1]
    if entry["difference"] is None:
        return
    axes.plot(100 * entry["difference"], height, "o", color=shade, ms=5, zorder=3)
    if entry["low"] is not None:
        ends = [100 * entry["low"], 100 * entry["high"]]
        axes.plot(ends, [height, height], color=shade, lw=2, alpha=0.55, solid_capstyle="round", zorder=2)


def _label(change: Mapping[str, Any]) -> str:
    """The kind and the numbers of its severities: `Crop of all sides  5, 10, 15 %`."""
    values = [line["value"] for line in change["severities"] if line["value"] is not None]
    if not values:
        return upper(change["title"])
    unit = {"%": " %", "degrees,": "\N{DEGREE SIGN}"}.get(change["unit"].split(" ")[0], "")
    return f"{upper(change['title'])}  {', '.join(f'{value:g}' for value in values)}{unit}"
