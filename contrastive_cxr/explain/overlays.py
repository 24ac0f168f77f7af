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
_EVEN = 0.15  # of the largest value: what remains of a map that is nearly even


def grey(image: Floats) -> bytes:
    """PNG of an image [S, S] in 0..1."""
    return _png(Image.fromarray(_bytes(image)))


def standing_out(values: Floats) -> Floats | None:
    """What of a map stands out from the rest of the same image; None where no place does.

    The reference is the map's own median: half of the image lies below it. Where most places speak for a class or a
    neighbour, the places above the median keep the difference to it, and the others get 0, so that such a map is not
    one colour; places that speak against it keep their value. Where most speak against it, the same holds with the
    signs exchanged. If the largest of what remains is below 15 % of the largest value, the map is nearly even, and
    colours would show noise.

    Parameters
    ----------
    values : float [h, h], any range; positive speaks for, negative against

    Examples
    --------
    >>> standing_out(np.array([[4.0, 4.0], [4.0, 10.0]])).tolist()
    [[0.0, 0.0], [0.0, 6.0]]
    >>> standing_out(np.array([[4.0, 4.0], [4.0, 4.1]])) is None
    True
    """
    middle = float(np.median(values))
    rest: Floats = np.maximum(values - max(middle, 0.0), 0.0) + np.minimum(values - min(middle, 0.0), 0.0)
    largest = float(np.abs(values).max())
    if not np.isfinite(largest) or float(np.abs(rest).max()) <= max(_EVEN * largest, 1e-12):
        return None
    return rest


def overlay(image: Floats, values: Floats) -> bytes:
    """PNG of an image with a map over it.

    Positive places are orange, negative ones blue; the strongest of both has the most colour, 0 has none.

    Parameters
    ----------
    image : float [S, S] in 0..1
    values : float [h, h], any range; drawn out to S x S, linear between places
    """
    return _png(Image.fromarray(blend(image, values)))


def blend(image: Floats, values: Floats) -> NDArray[np.uint8]:
    """The pixels of `overlay`, uint8 [S, S, 3]."""
    share, colour = _coloured(values, image.shape[1], image.shape[0])
    under = np.repeat(_bytes(image)[..., None], 3, axis=2)
    return ((1 - share) * under + share * colour).round().astype(np.uint8)


def layer(values: Floats, side: int) -> bytes:
    """PNG of a map alone, RGBA [side, side]: laid over the image it is `overlay`, and a page can make it weaker."""
    share, colour = _coloured(values, side, side)
    return _png(Image.fromarray(np.concatenate([colour, share * 255], axis=2).round().astype(np.uint8), "RGBA"))


def _coloured(values: Floats, width: int, height: int) -> tuple[Floats, Floats]:
    """How much colour each pixel gets, [height, width, 1] in 0..0.75, and which, [height, width, 3]."""
    drawn = np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
    largest = max(float(np.abs(drawn).max()), 1e-12)
    share = (_MOST * np.abs(drawn) / largest)[..., None]
    return share, np.where(drawn[..., None] > 0, np.array(FOR), np.array(AGAINST)).astype(np.float64)


def _bytes(image: Floats) -> NDArray[np.uint8]:
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
