"""A perceptual hash: which low coefficients of a picture's cosine transform lie above the median of the set."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

BITS = 256
COSINES = 16  # lowest coefficients along each side
FEW = 16  # pictures: with fewer, no median is subtracted
_SIDE = 32  # pixels along each side of the picture that is transformed
_BLOCK = 4096

Floats = NDArray[np.float32]
Crop = tuple[float, float, float, float]
"""Shares of the sides that are cut off at left, top, right and bottom."""


def spectra(pictures: NDArray[np.uint8], crop: Crop = (0, 0, 0, 0)) -> Floats:
    """The 16 x 16 lowest coefficients of the cosine transform of pictures, or of a crop of them, float32 [N, 16, 16].

    Parameters
    ----------
    pictures : uint8 [N, S, S]
    crop : what is cut off before the transform
    """
    found = np.empty((len(pictures), COSINES, COSINES), dtype=np.float32)
    for start in range(0, len(pictures), _BLOCK):
        shrunk = _shrunk(pictures[start : start + _BLOCK], crop)
        found[start : start + _BLOCK] = dctn(shrunk, axes=(1, 2), norm="ortho")[:, :COSINES, :COSINES]
    return found


class Usual(NamedTuple):
    """The typical spectrum of a set: median and median absolute deviation, float32 [16, 16] each."""

    middle: Floats
    deviation: Floats


def usual(found: Floats) -> Usual:
    """The typical spectrum: chest pictures share their coarse shape, which does not help to recognise a copy.

    For few pictures the median is taken as 0, because it could be the copies themselves.
    """
    if len(found) < FEW:
        return Usual(np.zeros_like(found[0]), np.mean(np.abs(found), axis=0) + np.float32(1e-3))
    middle = np.median(found, axis=0)
    return Usual(middle, np.median(np.abs(found - middle), axis=0) + np.float32(1e-3))


def bits(found: Floats, common: Usual) -> NDArray[np.uint8]:
    """The hash of each spectrum, uint8 [N, 32]: one bit for each coefficient, set if it lies above the median.

    The first coefficient is the brightness, which may differ in a copy; its bit is never set.
    """
    above = (found > common.middle).reshape(len(found), BITS)
    above[:, 0] = False
    return np.packbits(above, axis=1)


def relative(found: Floats, common: Usual) -> Floats:
    """Spectra in deviations from the median, at most 3, without the brightness, of unit length: float32 [N, 256]."""
    table = np.clip((found - common.middle) / common.deviation, -3, 3).reshape(len(found), BITS)
    table[:, 0] = 0
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _shrunk(pictures: NDArray[np.uint8], crop: Crop) -> Floats:
    """The cropped pictures at 32 x 32 pixels, each the mean of an area, float32 [n, 32, 32]."""
    rows, columns = (_shares(pictures.shape[1], crop[place], crop[place + 2]) for place in (1, 0))
    return np.asarray(rows @ pictures.astype(np.float32) @ columns.T, dtype=np.float32)


def _shares(size: int, before: float, after: float) -> Floats:
    """Weights [32, size] with which the pixels between two cuts count in 32 cells; each row adds up to 1."""
    edges = np.linspace(before * size, (1 - after) * size, _SIDE + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    overlap = np.clip(overlap, 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), dtype=np.float32)
