"""The figures of a report, each as the data address of an SVG picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

import contrastive_cxr.report.facts.words as words
from contrastive_cxr.report.figures.drawing import INK, PALETTE, REFERENCE, SOFT, STYLE, svg

_STYLE = STYLE | {"ytick.color": SOFT}
_CURVES = ("loss", "precision", "recall", "auc", "map_at_r", "knn_accuracy", "active", "spread")


def confusion(table: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Confusion matrix: counts, and colour by the share of the true class."""
    counts = np.asarray(table, dtype=float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(2.9, 0.95 * len(classes) + 0.9)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(side + 0.5, side))
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15)
        for (row, column), share in np.ndenumerate(shares):
            shade = "white" if share > 0.55 else INK
            axes.text(column, row - 0.08, f"{counts[row, column]:.0f}", ha="center", va="center", color=shade, size=13)
            axes.text(column, row + 0.22, f"{share:.0%}", ha="center", va="center", color=shade, size=8.5)
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted", ylabel="true")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return svg(figure)


def roc(
    curves: Mapping[str, Sequence[Sequence[float]]],
    labels: Mapping[str, str],
    baselines: Mapping[str, Mapping[str, Any]],
) -> str | None:
    """ROC curve of each class; `baselines` {name: {class: curve}} are dotted, in the colour of the class."""
    if not curves:
        return None
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.2, 4.2))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=REFERENCE, lw=1, zorder=1)
        for colour, (name, points) in zip(_cycle(len(curves)), curves.items(), strict=True):
            axes.plot(*np.transpose(points), color=colour, lw=2, label=labels.get(name, name))
            for other, dotted in baselines.items():
                if name in dotted:
                    axes.plot(*np.transpose(dotted[name]), color=colour, lw=1.1, ls=":", label=f"{name}, {other}")
        axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1), ylim=(0, 1.01))
        axes.set_aspect("equal")
        axes.grid(True)
        axes.legend(loc="lower right", fontsize=8)
        return svg(figure)


def comparison(
    rows: Sequence[tuple[str, Mapping[str, Any]]], names: Sequence[str], grouped: bool, narrow: bool = False
) -> str:
    """Dots with intervals: one line for each score of `names`, one colour for each of `rows` (name, scores).

    `narrow` draws it for a phone: less wide, so that its words can be read without scrolling.
    """
    height = 0.75 + 0.2 * len(names) * (len(rows) + 0.7)
    step = min(0.26, 0.72 / len(rows))  # leaves a gap between two scores
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.0 if narrow else 10.4, height))
        axes = figure.subplots()
        for place, (colour, (label, entries)) in enumerate(zip(_cycle(len(rows)), rows, strict=True)):
            for line, name in enumerate(names):
                _dot(axes, entries[name], line + (place - (len(rows) - 1) / 2) * step, colour, grouped)
            axes.plot([], [], "o", color=colour, label=label)
        axes.set_yticks(range(len(names)), [words.title(name) for name in names])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(right=1.005)
        axes.grid(True, axis="x")
        axes.spines["left"].set_visible(False)
        left, columns = (-0.5, 2) if narrow else (0, 4)
        axes.legend(loc="lower left", bbox_to_anchor=(left, 1), ncols=columns, borderaxespad=0, handletextpad=0.2)
        return svg(figure)


def _dot(axes: Axes, entry: Mapping[str, Any], height: float, colour: str, grouped: bool) -> None:
    if entry["value"] is None:
        return
    axes.plot(entry["value"], height, "o", color=colour, ms=6, zorder=3)
    found = words.ends(entry, grouped)
    if found is not None:
        axes.plot(found, [height, height], color=colour, lw=2, alpha=0.45, solid_capstyle="round")


def learning_curves(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Curves from the rows of a phase's `metrics.jsonl`, train and val, one panel for each metric; None without any."""
    there = [name for name in _CURVES if any(row.get(name) is not None for row in rows if row.get("split") != "step")]
    if not there:
        return None
    there = there[:4]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(2.75 * len(there) + 0.4, 2.4), layout="constrained")
        for axes, name in zip(np.atleast_1d(figure.subplots(1, len(there))), there, strict=True):
            _panel(axes, rows, name)
        return svg(figure)


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    for split, colour in (("train", PALETTE[0]), ("val", PALETTE[1])):
        points = [(row["epoch"], row[name]) for row in rows if row.get("split") == split and row.get(name) is not None]
        if points:
            marker = "o" if len(points) < 30 else ""
            axes.plot(*np.transpose(points), color=colour, lw=1.6, label=split, marker=marker, ms=3.5)
    # precision and recall of an epoch are always means over the classes
    axes.set_title(words.title(f"macro_{name}" if name in ("precision", "recall") else name), loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(True)
    axes.legend(fontsize=8)


def scatter(points: NDArray[np.float32], labels: NDArray[np.int64], wrong: NDArray[np.bool_], classes: Any) -> str:
    """A map of the vectors: one colour for each class, a ring around each wrongly predicted image."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(10.4, 5.2))
        axes = figure.subplots()
        for number, (name, colour) in enumerate(zip(classes, _cycle(len(classes)), strict=True)):
            mine = labels == number
            axes.scatter(
                points[mine, 0], points[mine, 1], s=16, color=colour, alpha=0.75, lw=0, label=f"{name} ({mine.sum()})"
            )
        if wrong.any():
            axes.scatter(
                points[wrong, 0],
                points[wrong, 1],
                s=46,
                facecolors="none",
                edgecolors=INK,
                lw=0.9,
                label="wrong prediction",
            )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
        return svg(figure)


def _cycle(count: int) -> list[str]:
    return [PALETTE[number % len(PALETTE)] for number in range(count)]
