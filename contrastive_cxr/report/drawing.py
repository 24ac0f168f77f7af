"""How the figures of this room's further pages look, and how they become part of a page."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

from contrastive_cxr.report.figures import INK, LINE, SOFT, address

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "ccxr",
    "font.size": 10,
    "font.family": "sans-serif",
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 10.5,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "text.color": INK,
    "text.parse_math": False,  # a name with dollars is a name
    "legend.frameon": False,
    "grid.color": "#eef1f4",
}


def svg(figure: Figure) -> str:
    """The figure as the data address of an SVG picture; the same figure gives the same text."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None}, transparent=True)
    return address(buffer.getvalue(), "svg+xml")
