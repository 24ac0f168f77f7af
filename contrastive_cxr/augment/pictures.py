"""A picture of what a set does, for the run folder."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from contrastive_cxr.augment.images import augment, plain
from contrastive_cxr.augment.sets import Choice

PAIRS_ACROSS = 4
GAP = 4


def picture(images: Tensor, size: int, choice: Choice, seed: int) -> Image.Image:
    """Paint each image beside its augmented self, four pairs a line.

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
        Grey, 8 bits; the original left, the augmented right, white gaps between pairs.
    """
    pairs = torch.cat([plain(images, size), augment(images, size, choice, seed)], dim=3)
    tiles = (pairs[:, 0] * 255).round().to(torch.uint8).cpu().numpy()
    columns = min(len(tiles), PAIRS_ACROSS)
    lines = -(-len(tiles) // columns)
    step_x, step_y = 2 * size + GAP, size + GAP
    canvas = Image.new("L", (columns * step_x + GAP, lines * step_y + GAP), color=255)
    for number, tile in enumerate(tiles):
        canvas.paste(Image.fromarray(tile), (GAP + number % columns * step_x, GAP + number // columns * step_y))
    return canvas
