"""What may be done to a grey image before it is resized: border crop, median filter, equalisation."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, ImageOps

from contrastive_cxr.recipe import schema

Bytes = npt.NDArray[np.uint8]

Kind = TypeVar("Kind", bound=np.generic)
TILES = 8
CLIP = 2.0


def crop_border(values: npt.NDArray[Kind], share: float) -> npt.NDArray[Kind]:
    """Cut `share` (0 to below 0.5) of height and width off at each side; a view [H', W'], never empty."""
    height, width = values.shape
    top, left = int(height * share), int(width * share)
    return values[top : height - top, left : width - left]


def clean(grey: Bytes, settings: schema.Data) -> Bytes:
    """Apply `settings.denoise`, then `settings.equalise`, to uint8 [H, W]."""
    if settings.denoise == "median":
        grey = np.asarray(Image.fromarray(grey).filter(ImageFilter.MedianFilter(3)))
    if settings.equalise == "histogram":
        grey = np.asarray(ImageOps.equalize(Image.fromarray(grey)))
    elif settings.equalise == "clahe":
        grey = clahe(grey)
    return grey


def clahe(grey: Bytes) -> Bytes:
    """Equalise the contrast of each neighbourhood, its gain limited.

    8 x 8 tiles, each with the cumulative histogram of its own pixels as its curve; no grey value counts more than twice
    the mean, the surplus is spread over all; a pixel's value is interpolated between the curves of its four nearest
    tiles (Zuiderveld, Graphics Gems IV, 1994).

    Parameters
    ----------
    grey : uint8 [H, W]

    Returns
    -------
    uint8 [H, W]
    """
    height, width = grey.shape
    tall, wide = -(-height // TILES), -(-width // TILES)
    surplus = ((0, TILES * tall - height), (0, TILES * wide - width))
    curves = _curves(np.pad(grey, surplus, mode="symmetric"), tall, wide)
    row, down = _between(height, tall)
    column, across = _between(width, wide)
    left, right = np.clip([column, column + 1], 0, TILES - 1)
    result = np.empty_like(grey)
    # Rows between the same two tiles are done together: the arrays of floats stay an eighth of the image.
    for upper in range(-1, TILES):
        rows = np.flatnonzero(row == upper)
        values, weight = grey[rows], down[rows, None]
        top, bottom = curves[max(upper, 0)], curves[min(upper + 1, TILES - 1)]
        above = top[left, values] * (1 - across) + top[right, values] * across
        below = bottom[left, values] * (1 - across) + bottom[right, values] * across
        result[rows] = np.rint(above * (1 - weight) + below * weight)
    return result


def _curves(padded: Bytes, tall: int, wide: int) -> npt.NDArray[np.float32]:
    """Grey value to grey value of each tile: float32 [8, 8, 256] in 0..255."""
    tiles = padded.reshape(TILES, tall, TILES, wide).swapaxes(1, 2).reshape(TILES * TILES, tall * wide)
    counts = np.stack([np.bincount(tile, minlength=256) for tile in tiles]).astype(np.float64)
    limit = max(1.0, CLIP * tall * wide / 256)
    surplus = np.maximum(counts - limit, 0).sum(axis=1, keepdims=True)
    counts = np.minimum(counts, limit) + surplus / 256
    curves: npt.NDArray[np.float32] = np.empty((TILES, TILES, 256), np.float32)
    curves[:] = (counts.cumsum(axis=1) * (255 / (tall * wide))).reshape(curves.shape)
    return curves


def _between(length: int, tile: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Of each pixel the last tile whose centre is not after it (-1: none), and the weight of the next one."""
    place = (np.arange(length) + 0.5) / tile - 0.5
    first = np.floor(place).astype(np.int64)
    return first, np.asarray(place - first, dtype=np.float32)
