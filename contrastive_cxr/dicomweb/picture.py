"""The picture of a secondary capture: an image and its neighbours side by side, and below them where they are alike."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from contrastive_cxr import __version__
from contrastive_cxr.report.pages import search_page

SIDE, GAP, LINE = 256, 8, 18  # pixels
MOST = 10
"""Neighbours in a picture."""
PAPER, INK, SOFT = (0, 0, 0), (235, 235, 235), (170, 170, 170)
WORDS = (
    "Similar cases by ccxr {version}, model {model}. For research; no diagnosis.",
    "Columns 2 on are OTHER images of the gallery. Row 2: this image, row 3: the other; orange: alike, blue: unlike.",
)


def composed(
    number: int, found: Mapping[str, Any], pictures: Mapping[str, bytes], reasons: Mapping[str, str], model: str
) -> NDArray[np.uint8]:
    """The picture of one image, uint8 [H, W, 3].

    Of a neighbour it has the pixels, its place, distance and label: no patient and no file name.

    Parameters
    ----------
    number : of the image among the queries, from 0
    found : its entry in the facts of `inference.search`
    pictures, reasons : as `inference.search.drawn` gives them
    model : digest of the model
    """
    near = found["neighbours"][:MOST]
    columns = max(1 + len(near), 3)  # three hold the words
    top = GAP + 2 * LINE
    size = (GAP + columns * (SIDE + GAP), top + 2 * LINE + 3 * (SIDE + GAP))
    sheet = Image.new("RGB", size, PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for line, words in enumerate(WORDS):
        pen.text((GAP, GAP + line * LINE), words.format(version=__version__, model=model[:12]), SOFT, font)

    def place(column: int, row: int, below: str, over: str | None = None) -> None:
        at = (GAP + column * (SIDE + GAP), top + 2 * LINE + row * (SIDE + GAP))
        key = below if over is None else over
        if below in pictures and key in pictures:
            sheet.paste(_stack(pictures[below], None if over is None else pictures[over]), at)
        elif over is None or key in reasons:
            pen.text((at[0], at[1] + SIDE // 2), "No map" if over else "Not shown", SOFT, font)

    own = search_page.name(number, None)
    place(0, 0, own)
    _label(pen, 0, top, ("This image", ""), font)
    for column, line in enumerate(near, 1):
        other = search_page.name(number, column - 1)
        place(column, 0, other)
        place(column, 1, own, search_page.name(number, column - 1, "toward"))
        place(column, 2, other, search_page.name(number, column - 1, "back"))
        _label(pen, column, top, (f"{column}. distance {line['distance']:.4f}", str(line["label"])), font)
    return np.asarray(sheet)


def _label(pen: ImageDraw.ImageDraw, column: int, top: int, words: tuple[str, str], font: Any) -> None:
    """Two lines above a picture, each cut to its width."""
    for line, text in enumerate(words):
        shown = "".join(each if each.isprintable() else " " for each in text)[:200]
        while shown and pen.textlength(shown, font) > SIDE:
            shown = shown[:-1]
        pen.text((GAP + column * (SIDE + GAP), top + line * LINE), shown, INK, font)


def _stack(below: bytes, over: bytes | None) -> Image.Image:
    """A picture, with a transparent map on it, at the size of a cell."""
    with Image.open(io.BytesIO(below)) as opened:
        grey = opened.convert("RGBA")
    if over is not None:
        with Image.open(io.BytesIO(over)) as opened:
            grey = Image.alpha_composite(grey, opened.convert("RGBA").resize(grey.size))
    return grey.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
