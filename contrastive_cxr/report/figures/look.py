"""The figures of a first look: sizes, shapes and grey levels by label."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contrastive_cxr.report.figures.drawing import PALETTE, STYLE, svg

Measures = Mapping[str, Mapping[str, NDArray[np.float64]]]
_POINTS = 3000  # most images of a label that are drawn
_LONGEST = 28  # most characters of a label


def all_of(measures: Measures) -> dict[str, str]:
    """{title: picture}; empty if no image is readable."""
    there = {label: each for label, each in measures.items() if len(each["width"])}
    if not there:
        return {}
    return {
        "Width and height of each image, pixels": sizes(there),
        "Width / height": boxes(there, {"aspect": "width / height"}),
        "Brightness and contrast": boxes(there, {"mean": "mean grey level", "sd": "standard deviation of grey levels"}),
    }


def sizes(measures: Measures) -> str:
    """Width against height, one colour for each label; at most 3000 images of each, drawn with a fixed seed."""
    rng = np.random.default_rng(0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.4))
        axes = figure.subplots()
        for number, (label, each) in enumerate(measures.items()):
            rows = rng.permutation(len(each["width"]))[:_POINTS]
            colour = PALETTE[number % len(PALETTE)]
            # as a bitmap inside the SVG: thousands of points would make the page large
            axes.scatter(
                each["width"][rows],
                each["height"][rows],
                s=9,
                alpha=0.5,
                lw=0,
                color=colour,
                rasterized=True,
                label=_name(label),
            )
        largest = max(float(max(each["width"].max(), each["height"].max())) for each in measures.values())
        axes.plot([0, largest], [0, largest], color="#cccccc", lw=0.8, zorder=0)
        axes.set(xlabel="width", ylabel="height", xlim=(0, largest * 1.03), ylim=(0, largest * 1.03))
        axes.set_aspect("equal")
        axes.grid(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8.5)
        return svg(figure)


def boxes(measures: Measures, shown: Mapping[str, str]) -> str:
    """Box plots (quartiles; whiskers 5 and 95 %) of each label, one panel for each measure."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(shown) + 1.2, 0.9 + 0.36 * len(measures)), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(shown), sharey=True))
        for axes, (name, words) in zip(panels, shown.items(), strict=True):
            drawn = axes.boxplot(
                [each[name][np.isfinite(each[name])] for each in measures.values()],
                orientation="horizontal", whis=(5, 95), sym="", patch_artist=True, widths=0.55,
                medianprops={"color": "#1f2933"},
            )  # fmt: skip
            for number, box in enumerate(drawn["boxes"]):
                box.set(facecolor=PALETTE[number % len(PALETTE)], alpha=0.45, lw=0.6)
            axes.set_xlabel(words)
            axes.grid(True, axis="x")
        panels[0].set_yticks(range(1, len(measures) + 1), [_name(label) for label in measures])
        panels[0].invert_yaxis()
        return svg(figure)


def _name(label: str) -> str:
    """A shortened label; matplotlib would leave a label that begins with _ out of the legend."""
    label = label if len(label) <= _LONGEST else f"{label[: _LONGEST - 1]}…"
    return f" {label}" if label.startswith("_") else label or "(empty)"
