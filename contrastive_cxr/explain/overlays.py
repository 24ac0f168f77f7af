"""Maps laid over the grey image, as PNG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]
FOR, AGAINST = (230, 97, 0), (0, 114, 178)  # told apart with any colour vision
_MOST = 0.75  # the strongest place still lets the image through


def grey(image: Floats) -> bytes:
    """PNG of an image [S, S] in 0..1."""
    return _png(Image.fromarray(_bytes(image)))


def overlay(image: Floats, values: Floats) -> bytes:
    """PNG of an image with a map over it.

    Positive places are orange, negative ones blue; the strongest of both has the most colour, 0 has none.

    Parameters
    ----------
    image : float [S, S] in 0..1
    values : float [h, h], any range; drawn out to S x S, linear between places
    """
    side = (image.shape[1], image.shape[0])
    drawn = np.asarray(Image.fromarray(values.astype(np.float32)).resize(side, Image.Resampling.BILINEAR))
    largest = max(float(np.abs(drawn).max()), 1e-12)
    share = (_MOST * np.abs(drawn) / largest)[..., None]
    colour = np.where(drawn[..., None] > 0, np.array(FOR), np.array(AGAINST))
    under = np.repeat(_bytes(image)[..., None], 3, axis=2)
    return _png(Image.fromarray(((1 - share) * under + share * colour).round().astype(np.uint8)))


def _bytes(image: Floats) -> NDArray[np.uint8]:
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
