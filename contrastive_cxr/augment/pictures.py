"""A picture of what a set does to some images, for the run folder, and its parameters in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from contrastive_cxr.augment.changes import in_words
from contrastive_cxr.augment.draws import draw
from contrastive_cxr.augment.images import apply, plain
from contrastive_cxr.augment.sets import Choice, resolve
from contrastive_cxr.recipe.augment_sets import AugmentSet

PAIRS_ACROSS = 4
GAP = 6
SMALLEST = 128  # pixels that the side of a picture has at least, about: whole multiples of the network's input
PAGE = 1100  # pixels of the report's width; a wider picture is shown smaller, and its letters are larger
# What only counts where another field is set.
_BELONGS = {
    "ratio": "crop", "sigma": "blur", "noise_rate": "noise", "jpeg_rate": "jpeg", "resolution_rate": "resolution",
    "erase_area": "erase", "frame_rate": "frame",
}  # fmt: skip


def picture(images: Tensor, size: int, choice: Choice, seed: int) -> Image.Image:
    """Paint each image before and after the augmentation, four pairs a line, and write what was drawn below each.

    Parameters
    ----------
    images : Tensor
        uint8 [N, 1, H, W], N of 1 or more; 16 in a run.
    size : int
        Side of the network's input, pixels; small pictures are painted with larger pixels.
    choice : str, Augment or AugmentSet
        The augmentation, as in a recipe.
    seed : int
        Seed of the draw.

    Returns
    -------
    PIL.Image.Image
        Grey, 8 bits. Above each column the words `before` and `after`; below each pair the changes of this image with
        their values (`changes.in_words`), or `unchanged`; white gaps between pairs.
    """
    drawn = draw(resolve(choice), len(images), seed)
    pairs = torch.cat([plain(images, size), apply(images, size, drawn)], dim=3)
    tiles = (pairs[:, 0] * 255).round().to(torch.uint8).cpu().numpy()
    side = size * max(1, SMALLEST // size)
    columns = min(len(tiles), PAIRS_ACROSS)
    step = 2 * side + GAP
    letters = max(12, round(12 * PAIRS_ACROSS * step / PAGE))
    font = ImageFont.load_default(letters)
    words = [broken(in_words(drawn, row, size) or ["unchanged"], font, 2 * side) for row in range(len(tiles))]
    lines = [range(first, min(first + columns, len(tiles))) for first in range(0, len(tiles), columns)]
    line = letters + 3
    below = [line * max(len(words[number]) for number in numbers) for numbers in lines]
    canvas = Image.new(
        "L", (columns * step + GAP, line + GAP + sum(side + each + 2 * GAP for each in below)), color=255
    )
    pen, top = ImageDraw.Draw(canvas), line + GAP
    for column in range(columns):
        for place, word in enumerate(("before", "after")):
            pen.text((GAP + column * step + place * side, 1), word, fill=0, font=font)
    for numbers, room in zip(lines, below, strict=True):
        for column, number in enumerate(numbers):
            left = GAP + column * step
            tile = Image.fromarray(tiles[number]).resize((2 * side, side), Image.Resampling.NEAREST)
            canvas.paste(tile, (left, top))
            for place, text in enumerate(words[number]):
                pen.text((left, top + side + 1 + place * line), text, fill=0, font=font)
        top += side + room + 2 * GAP
    return canvas


def broken(changes: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> list[str]:
    """The changes with commas between them in lines of at most `room` pixels, a change whole where it fits."""
    found: list[str] = []
    for number, change in enumerate(changes, 1):
        text = change if number == len(changes) else f"{change},"
        for word in [text] if font.getlength(text) <= room else text.split():
            longer = f"{found[-1]} {word}" if found else word
            if found and font.getlength(longer) <= room:
                found[-1] = longer
            else:
                found.append(word)
    return found


def parameters(choice: Choice) -> str:
    """The ranges that an augmentation draws from, in words; fields that change nothing are left out.

    Examples
    --------
    >>> parameters(AugmentSet(rotate=5.0, zoom=(0.9, 1.1), flip_horizontal=0.5))
    'zoom 0.9 to 1.1; rotate 5; flip horizontal 0.5.'
    >>> parameters("none")
    'Nothing is changed.'
    """
    ranges, nothing = resolve(choice), AugmentSet()
    told = []
    for field in dataclasses.fields(ranges):
        value, owner = getattr(ranges, field.name), _BELONGS.get(field.name, field.name)
        if getattr(ranges, owner) == getattr(nothing, owner) or (field.name == "rate" and value == 1):
            continue
        words = " to ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else f"{value:g}"
        told.append(f"{field.name.replace('_', ' ')} {words}")
    return "; ".join(told) + "." if told else "Nothing is changed."
