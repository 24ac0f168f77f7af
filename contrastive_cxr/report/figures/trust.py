"""Figures about the reliability of probabilities: reliability diagrams, and accuracy against coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import contrastive_cxr.report.facts.words as words
from contrastive_cxr.report.figures.drawing import PALETTE, REFERENCE, STYLE, svg

Points = Sequence[Mapping[str, Any]]


def reliability(lines: Mapping[str, Points], stated: str) -> str | None:
    """Reliability diagram: the observed share against the predicted probability, with intervals; None without bins.

    Parameters
    ----------
    lines : {name: points {confidence, rate}}, as from `metrics.calibration.reliability`
    stated : which class the probability belongs to, for the axis
    """
    if not any(lines.values()):
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 4.2))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=REFERENCE, lw=1.2, zorder=1)
        for colour, (name, points) in zip(PALETTE, lines.items(), strict=False):
            _dots(axes, points, colour, name)
        axes.set(xlabel=f"probability of {stated}", ylabel="observed share", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_aspect("equal")
        axes.grid(True)
        axes.legend(loc="upper left", fontsize=8)
        return svg(figure)


def _dots(axes: Axes, points: Points, colour: str, name: str) -> None:
    stated = [point["confidence"] for point in points]
    axes.plot(stated, [point["rate"]["value"] for point in points], "o-", color=colour, lw=1.1, ms=5, label=name)
    for place, point in zip(stated, points, strict=True):
        axes.plot([place, place], [point["rate"]["low"], point["rate"]["high"]], color=colour, lw=1.6, alpha=0.35)


def coverage(selective: Mapping[str, Any]) -> str:
    """Accuracy of the images that are kept against their share, one line for each way to reject images."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4))
        axes = figure.subplots()
        axes.axhline(1 - selective["random"], color=REFERENCE, lw=1.2)
        for colour, (name, found) in zip(PALETTE, selective["by"].items(), strict=False):
            shares, accuracies = zip(*found["curve"], strict=True)
            label = f"reject by: {words.title(name).lower()}"
            # the dot is the smallest share: equally certain images are kept together; it may be the only point
            axes.plot(shares, accuracies, "o-", markevery=[0], ms=4, color=colour, lw=1.8, label=label)
        axes.set(xlabel="share of the images kept", ylabel="accuracy of the kept images", xlim=(1.0, 0.0))
        axes.grid(True)
        axes.legend(fontsize=8)
        return svg(figure)
