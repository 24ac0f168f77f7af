"""The style of all figures, and how pictures become part of a page."""

from __future__ import annotations

import base64
import io
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette for any colour vision; right and wrong are its green and vermilion
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5D3A9B", "#444444")
INK, SOFT, LINE = "#1f2933", "#55616d", "#d9dfe5"
REFERENCE = "#94a0ac"  # a line to compare with: the diagonal, no difference, chance
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


def address(content: bytes, kind: str) -> str:
    """`data:` address of a picture's bytes, so that the page needs no other file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def encoded(picture: Image.Image, kind: str = "jpeg", quality: int = 85) -> str:
    """`data:` address of a picture as JPEG, WebP or PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format=kind.upper(), quality=quality)
    return address(buffer.getvalue(), kind)


def svg(figure: Figure) -> str:
    """The figure as the data address of an SVG picture; the same figure gives the same text."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None}, transparent=True)
    return address(buffer.getvalue(), "svg+xml")
