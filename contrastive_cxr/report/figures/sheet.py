"""Contact sheets: small pictures of the scored images, each with its class and the prediction."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

THUMBNAIL = 64  # pixels of a picture on a sheet
LIMIT = 400  # most pictures on the sheets
KEPT = 5000  # most pictures that an evaluation keeps
_SIDES = ((300, 256), (800, 160), (2000, 96))  # of so many images each picture has so many pixels, of more THUMBNAIL
PER_PAGE = 100
COLUMNS = 10
_FRAME, _GAP, _LINE = 3, 8, 12
_TILE = THUMBNAIL + 2 * _FRAME
_STEP_X, _STEP_Y = _TILE + 3 * _GAP, _TILE + 2 * _LINE + _GAP
_COLOURS = {True: "#00644a", False: "#d55e00"}
_INK = "#1f2933"


def spread(count: int, most: int) -> NDArray[np.int64]:
    """`most` of `count` rows, evenly spaced; all of them if there are no more."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def shown(count: int) -> NDArray[np.int64]:
    """Which of `count` scored rows an evaluation keeps a picture of: all, or 5,000 evenly spaced ones."""
    return spread(count, KEPT)


def side(count: int, largest: int) -> int:
    """Pixels of the kept pictures of `count` images, whose own side is `largest`: fewer the more there are.

    Examples
    --------
    >>> side(30, 512), side(600, 512), side(5000, 512), side(30, 48)
    (256, 160, 64, 48)
    """
    return min(next((pixels for most, pixels in _SIDES if count <= most), THUMBNAIL), largest)


def pages(thumbnails: NDArray[np.uint8], truth: Sequence[str], decided: Sequence[str]) -> list[Image.Image]:
    """Sheets of at most 100 images, ten in a line.

    Parameters
    ----------
    thumbnails : uint8 [n, S, S]; drawn at 64 x 64 pixels
    truth, decided : n class names; a green frame and a tick if they agree, an orange frame and a cross if not

    Returns
    -------
    list of PIL images, RGB; empty if n is 0.
    """
    starts = range(0, len(thumbnails), PER_PAGE)
    return [
        _page(thumbnails[start : start + PER_PAGE], truth[start : start + PER_PAGE], decided[start : start + PER_PAGE])
        for start in starts
    ]


def _page(thumbnails: NDArray[np.uint8], truth: Sequence[str], decided: Sequence[str]) -> Image.Image:
    columns = min(len(thumbnails), COLUMNS)
    lines = -(-len(thumbnails) // columns)
    canvas = Image.new("RGB", (columns * _STEP_X + _GAP, lines * _STEP_Y + _GAP), "white")
    pen = ImageDraw.Draw(canvas)
    for number, (tile, true, predicted) in enumerate(zip(thumbnails, truth, decided, strict=True)):
        left, top = _GAP + number % columns * _STEP_X, _GAP + number // columns * _STEP_Y
        right = true == predicted
        pen.rectangle((left, top, left + _TILE - 1, top + _TILE - 1), fill=_COLOURS[right])
        canvas.paste(_small(tile), (left + _FRAME, top + _FRAME))
        pen.text((left, top + _TILE), _fitted(true), fill=_INK, font=_font())
        mark = "\N{CHECK MARK}" if right else "\N{BALLOT X}"
        pen.text((left, top + _TILE + _LINE), _fitted(f"{mark} {predicted}"), fill=_COLOURS[right], font=_font())
    return canvas


def _small(tile: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(tile)
    if picture.size == (THUMBNAIL, THUMBNAIL):
        return picture
    return picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)


def _fitted(text: str) -> str:
    """The text, shortened to the width of a place on the sheet."""
    room = _STEP_X - _GAP // 2
    if _font().getlength(text) <= room:
        return text
    while text and _font().getlength(f"{text}\N{HORIZONTAL ELLIPSIS}") > room:
        text = text[:-1]
    return f"{text}\N{HORIZONTAL ELLIPSIS}"


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans: it comes with matplotlib and has the tick and the cross."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 10)
