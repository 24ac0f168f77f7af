"""A picture of what a set does, for the run folder, and its parameters in words."""

from __future__ import annotations

import dataclasses

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from contrastive_cxr.augment.images import augment, plain
from contrastive_cxr.augment.sets import Choice, resolve
from contrastive_cxr.recipe.augment_sets import AugmentSet

PAIRS_ACROSS = 4
GAP = 4
WORDS = 14  # pixels of the line `before`, `after` above the pairs
# What only counts where another field is set.
_BELONGS = {
    "ratio": "crop", "sigma": "blur", "noise_rate": "noise", "jpeg_rate": "jpeg", "resolution_rate": "resolution",
    "erase_area": "erase", "frame_rate": "frame",
}  # fmt: skip


def picture(images: Tensor, size: int, choice: Choice, seed: int) -> Image.Image:
    """Paint each image before and after the augmentation, four pairs a line.

    Parameters
    ----------
    images : Tensor
        uint8 [N, 1, H, W], N of 1 or more; 16 in a run.
    size : int
        Side of one picture, pixels.
    choice : str, Augment or AugmentSet
        The augmentation, as in a recipe.
    seed : int
        Seed of the draw.

    Returns
    -------
    PIL.Image.Image
        Grey, 8 bits; the words `before` and `after` above each column, white gaps between pairs.
    """
    pairs = torch.cat([plain(images, size), augment(images, size, choice, seed)], dim=3)
    tiles = (pairs[:, 0] * 255).round().to(torch.uint8).cpu().numpy()
    columns = min(len(tiles), PAIRS_ACROSS)
    lines = -(-len(tiles) // columns)
    step_x, step_y = 2 * size + GAP, size + GAP
    canvas = Image.new("L", (columns * step_x + GAP, WORDS + lines * step_y + GAP), color=255)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(10)
    for column in range(columns):
        for place, word in enumerate(("before", "after")):
            pen.text((GAP + column * step_x + place * size, 1), word, fill=0, font=font)
    for number, tile in enumerate(tiles):
        left, top = GAP + number % columns * step_x, WORDS + GAP + number // columns * step_y
        canvas.paste(Image.fromarray(tile), (left, top))
    return canvas


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
