"""Alignment of two pictures: one is scaled and shifted along its sides until it fits the other.

Gauss-Newton minimises the squared difference; gain and offset of each pair are fitted too. Blurred pictures come first,
as in Lucas and Kanade 1981 (An iterative image registration technique). Many pairs at once; nothing is random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float32]

STEPS = ((3.0, 4), (1.5, 3))  # blur (pixels of 32), iterations
_SIDE = 32
_SCALES = (0.75, 1.35)
_FARTHEST = 0.35  # shift; the picture is 2 wide


def start_of(crops: Floats) -> Floats:
    """Placements [P, 4] of pictures from which `crops` [P, 4] were cut (left, top, right, bottom; shares)."""
    left, top, right, bottom = crops.T
    return np.stack([1 - left - right, left - right, 1 - top - bottom, top - bottom], axis=1).astype(np.float32)


def align(first: Floats, second: Floats, start: Floats) -> Floats:
    """Where the second pictures lie in the first ones, approximately: from blurred pictures of 32 x 32 pixels.

    Parameters
    ----------
    first, second : float32 [P, S, S], S a multiple of 32; grey levels
    start : float32 [P, 4], placements to start from

    Returns
    -------
    float32 [P, 4]: scale and shift along x, then along y, in units where a picture spans -1 to 1: the point x of the
    second picture is the point scale * x + shift of the first.
    """
    first, second = _halved(first), _halved(second)
    placement = start
    for blur, iterations in STEPS:
        rough, fixed = (gaussian_filter(each, (0, blur, blur)) for each in (first, second))
        placement = refine(rough, fixed, placement, iterations)
    return placement


def refine(first: Floats, second: Floats, placement: Floats, iterations: int) -> Floats:
    """The placement [P, 4] after `iterations` more steps, on the pictures without further blur; else as `align`."""
    for _ in range(iterations):
        placement = _better(first, second, placement)
    return placement


def place(pictures: Floats, placement: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The parts of the first pictures that the second ones show.

    Returns
    -------
    float32 [P, S, S], and bool [P, S, S]: the pixels that lie inside the first picture.
    """
    side = pictures.shape[-1]
    columns, over = _weights(placement[:, 0], placement[:, 1], side)
    rows, down = _weights(placement[:, 2], placement[:, 3], side)
    moved = np.asarray(rows @ pictures @ columns.transpose(0, 2, 1), dtype=np.float32)
    return moved, down[:, :, None] & over[:, None, :]


def _better(rough: Floats, fixed: Floats, placement: Floats) -> Floats:
    """One Gauss-Newton step; a pair whose equations cannot be solved stays where it is."""
    moved, inside = place(rough, placement)
    side = moved.shape[-1]
    axis = _axis(side)
    # the slope in the moved picture, divided by the scale, is that in the first picture
    down, over = np.gradient(moved, axis=(1, 2))
    over = over * (side / 2) / placement[:, 0, None, None]
    down = down * (side / 2) / placement[:, 2, None, None]
    columns = [moved, np.ones_like(moved), over * axis, over, down * axis[:, None], down]
    table = np.stack([each * inside for each in columns], axis=1).reshape(len(moved), 6, -1)
    normal = table @ table.transpose(0, 2, 1)
    scale = np.sqrt(np.einsum("pii->pi", normal)) + 1e-3
    normal = normal / (scale[:, :, None] * scale[:, None, :]) + 1e-4 * np.eye(6, dtype=np.float32)
    right = (table @ (fixed * inside).reshape(len(moved), -1, 1))[..., 0] / scale
    solution = np.linalg.solve(normal, right[..., None])[..., 0] / scale
    gain = np.where(solution[:, :1] > 0.1, solution[:, :1], np.inf)
    step = np.clip(solution[:, 2:] / gain, -0.08, 0.08)
    low = np.array([_SCALES[0], -_FARTHEST] * 2, dtype=np.float32)
    high = np.array([_SCALES[1], _FARTHEST] * 2, dtype=np.float32)
    return np.asarray(np.clip(placement + step, low, high), dtype=np.float32)


def _weights(scale: Floats, shift: Floats, side: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Weights of linear interpolation along one axis, [P, S, S], and whether each point lies in the picture, [P, S]."""
    places = scale[:, None] * _axis(side) + shift[:, None]
    pixels = (places + 1) * side / 2 - 0.5
    inside = (pixels > -0.75) & (pixels < side - 0.25)
    pixels = np.clip(pixels, 0, side - 1)
    weights = np.clip(1 - np.abs(pixels[:, :, None] - np.arange(side, dtype=np.float32)), 0, None)
    return weights.astype(np.float32), inside


def _axis(side: int) -> Floats:
    """Centres of the pixels in -1..1."""
    return ((np.arange(side) + 0.5) * 2 / side - 1).astype(np.float32)


def _halved(pictures: Floats) -> Floats:
    """Pictures reduced to 32 x 32 pixels, each the mean of a cell."""
    cell = pictures.shape[-1] // _SIDE
    means: Floats = pictures.reshape(len(pictures), _SIDE, cell, _SIDE, cell).mean(axis=(2, 4))
    return means
