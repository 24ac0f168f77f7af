"""Small pictures of the cached squares, in which an image and its copies have the same position and size."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

SIDE = 64
Bytes = NDArray[np.uint8]


def small(images: Bytes, slots: NDArray[np.int64], facts: pd.DataFrame) -> Bytes:
    """The squares without their padding, resized to 64 x 64 pixels: a resized copy then looks like its original.

    Parameters
    ----------
    images : uint8 [slots, 1, S, S], read one at a time, so a memory map stays on disk
    slots : int64 [N], the place of each picture in `images`
    facts : N rows with pad_left, pad_top, pad_right, pad_bottom, pixels of padding in the square

    Returns
    -------
    uint8 [N, 64, 64], 4 KiB for each picture
    """
    boxes = facts[["pad_left", "pad_top", "pad_right", "pad_bottom"]].to_numpy(dtype=np.int64)
    size = images.shape[-1]
    found = np.empty((len(slots), SIDE, SIDE), dtype=np.uint8)
    for row in np.argsort(slots, kind="stable"):
        left, top, right, bottom = boxes[row]
        inside = np.ascontiguousarray(images[slots[row], 0, top : size - bottom, left : size - right])
        found[row] = np.asarray(Image.fromarray(inside).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return found
