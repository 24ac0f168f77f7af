"""Benign changes of an image, at fixed severities: what a diagnosis does not depend on and a network may.

The words are those of corruption robustness (ImageNet-C: Hendrycks and Dietterich 2019): a corruption is a kind of
change, and each has up to three severities. Nothing is drawn but the noise, whose key is the seed and the image's own
row. docs/reference/robustness.md has the table in words.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from kornia.enhance import adjust_brightness, adjust_contrast_with_mean_subtraction, adjust_gamma
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import rotate
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from contrastive_cxr.augment.images import equalise
from contrastive_cxr.errors import RequestError, nearest

Rows = NDArray[np.int64]
Apply = Callable[[Tensor, float], Tensor]
MARGIN = 0.03
"""Distance of the burned-in marker from the edges of the image, share of the side."""


@dataclass(frozen=True)
class Kind:
    """A row of the table.

    Attributes
    ----------
    values : tuple of float
        One of each severity, in `unit`; without a unit they are no numbers to tell.
    title : str
        The kind in words, such as "crop of all sides".
    words : str
        The change in words, with a place for its value: "a {:g} % crop of all sides".
    apply : callable or None
        `apply(images, value) -> images`; None for the noise, which needs the images' rows.
    """

    values: tuple[float, ...]
    unit: str
    title: str
    words: str
    apply: Apply | None


def cropped(images: Tensor, down: float, across: float) -> Tensor:
    """Cut the shares `down` off top and bottom and `across` off left and right, in whole pixels."""
    height, width = images.shape[-2:]
    top, left = round(down * height), round(across * width)
    return images[..., top : height - top, left : width - left]


def shrunk(images: Tensor, down: float, across: float) -> Tensor:
    """The whole image at the shares `down` and `across` of its size, antialiased, in the middle of a black square."""
    height, width = images.shape[-2:]
    small = resized(images, max(1, round(down * height)), max(1, round(across * width)))
    top, left = (height - small.shape[-2]) // 2, (width - small.shape[-1]) // 2
    found = torch.zeros_like(images)
    found[..., top : top + small.shape[-2], left : left + small.shape[-1]] = small
    return found


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Resize by an antialiased bilinear filter, as Pillow's."""
    found = functional.interpolate(unit(images), (height, width), mode="bilinear", antialias=True, align_corners=False)
    return eight_bit(found)


def shifted(images: Tensor, down: float, right: float) -> Tensor:
    """Move by shares of the side, in whole pixels; what comes in is black."""
    height, width = images.shape[-2:]
    lines, columns = round(down * height), round(right * width)
    found = torch.zeros_like(images)
    found[..., lines:, columns:] = images[..., : height - lines, : width - columns]
    return found


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of `sigma`, share of the side; the kernel ends at four sigma, the image is mirrored at its edge."""
    pixels = sigma * images.shape[-1]
    radius = max(1, math.ceil(4 * pixels))
    return eight_bit(gaussian_blur2d(unit(images), 2 * radius + 1, (pixels, pixels)))


def compressed(images: Tensor, quality: int) -> Tensor:
    """Through the JPEG codec and back, on the CPU."""
    found = []
    for picture in images[:, 0].cpu().numpy():
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="JPEG", quality=quality)
        found.append(np.asarray(Image.open(buffer)))
    return torch.from_numpy(np.stack(found)).unsqueeze(1).to(images.device)


def framed(images: Tensor, share: float) -> Tensor:
    """Paint the outer `share` of each side black."""
    height, width = images.shape[-2:]
    lines, columns = round(share * height), round(share * width)
    found = torch.zeros_like(images)
    inside = (..., slice(lines, height - lines), slice(columns, width - columns))
    found[inside] = images[inside]
    return found


def marked(images: Tensor, share: float) -> Tensor:
    """Burn in a white L, `share` of the side high and 0.6 times as wide, where the side marker stands: upper right."""
    height, width = images.shape[-2:]
    tall = max(2, round(share * height))
    wide, stroke = max(2, round(0.6 * tall)), max(1, round(0.2 * tall))
    top, left = round(MARGIN * height), width - round(MARGIN * width) - wide
    found = images.clone()
    found[..., top : top + tall, left : left + stroke] = 255
    found[..., top + tall - stroke : top + tall, left : left + wide] = 255
    return found


def noisy(images: Tensor, deviation: float, rows: Rows, seed: int) -> Tensor:
    """Add Gaussian noise of standard `deviation` (of the range 0..1), its key the seed and each image's row."""
    shape = tuple(images.shape[1:])
    draws = [np.random.default_rng([seed, int(row)]).standard_normal(shape, dtype=np.float32) for row in rows]
    return eight_bit(unit(images) + deviation * torch.from_numpy(np.stack(draws)).to(images.device))


def unit(images: Tensor) -> Tensor:
    """uint8 to float32 in 0..1."""
    return images.to(torch.float32) / 255.0


def eight_bit(images: Tensor) -> Tensor:
    """Float in 0..1, what is outside cut off, to the nearest uint8."""
    return (images.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)


def _brightness(images: Tensor, percent: float) -> Tensor:
    return eight_bit(adjust_brightness(unit(images), percent / 100))


def _contrast(images: Tensor, percent: float) -> Tensor:
    """Distances from each image's own mean, times the factor."""
    return eight_bit(adjust_contrast_with_mean_subtraction(unit(images), percent / 100))


def _gamma(images: Tensor, gamma: float) -> Tensor:
    return eight_bit(adjust_gamma(unit(images), gamma))


def _lower_resolution(images: Tensor, percent: float) -> Tensor:
    height, width = images.shape[-2:]
    return resized(images, max(1, round(percent / 100 * height)), max(1, round(percent / 100 * width)))


CORRUPTIONS: dict[str, Kind] = {
    "crop": Kind((5, 10, 15), "% of each side", "crop of all sides", "a {:g} % crop of all sides",
                 lambda x, v: cropped(x, v / 100, v / 100)),
    "crop_height": Kind((5, 10, 15), "% at top and bottom", "crop of the height", "a {:g} % crop at top and bottom",
                        lambda x, v: cropped(x, v / 100, 0)),
    "crop_width": Kind((5, 10, 15), "% at left and right", "crop of the width", "a {:g} % crop at left and right",
                       lambda x, v: cropped(x, 0, v / 100)),
    "aspect_wide": Kind((5, 10, 20), "% wider", "wider aspect", "a {:g} % wider aspect",
                        lambda x, v: shrunk(x, 1 / (1 + v / 100), 1)),
    "aspect_tall": Kind((5, 10, 20), "% taller", "taller aspect", "a {:g} % taller aspect",
                        lambda x, v: shrunk(x, 1, 1 / (1 + v / 100))),
    "zoom_out": Kind((90, 80, 70), "% of the size", "zoom out", "a zoom out to {:g} %",
                     lambda x, v: shrunk(x, v / 100, v / 100)),
    "shift_down": Kind((5, 10, 15), "% of the height", "shift down", "a {:g} % shift down",
                       lambda x, v: shifted(x, v / 100, 0)),
    "shift_right": Kind((5, 10, 15), "% of the width", "shift to the right", "a {:g} % shift to the right",
                        lambda x, v: shifted(x, 0, v / 100)),
    "rotation": Kind((5, 10, 15), "degrees, anticlockwise", "rotation", "a rotation by {:g} degrees",
                     lambda x, v: eight_bit(rotate(unit(x), torch.full((len(x),), float(v), device=x.device)))),
    "brighter": Kind((5, 10, 20), "% of the range added", "higher brightness", "a {:g} % higher brightness",
                     _brightness),
    "darker": Kind((5, 10, 20), "% of the range taken off", "lower brightness", "a {:g} % lower brightness",
                   lambda x, v: _brightness(x, -v)),
    "contrast_lower": Kind((80, 65, 50), "% of the contrast", "lower contrast", "a contrast of {:g} %", _contrast),
    "contrast_higher": Kind((120, 140, 160), "% of the contrast", "higher contrast", "a contrast of {:g} %", _contrast),
    "gamma_darker": Kind((1.2, 1.5, 2.0), "exponent", "gamma above 1", "a gamma of {:g}", _gamma),
    "gamma_lighter": Kind((0.8, 0.65, 0.5), "exponent", "gamma below 1", "a gamma of {:g}", _gamma),
    "blur": Kind((0.4, 0.8, 1.2), "% of the side, standard deviation", "Gaussian blur",
                 "a Gaussian blur of {:g} % of the side", lambda x, v: blurred(x, v / 100)),
    "noise": Kind((2, 5, 10), "% of the range, standard deviation", "Gaussian noise", "Gaussian noise of {:g} %", None),
    "jpeg": Kind((50, 25, 10), "quality", "JPEG", "JPEG at quality {:g}", lambda x, v: compressed(x, int(v))),
    "resolution": Kind((50, 35, 25), "% of the pixels of a side", "lower resolution", "a resolution of {:g} %",
                       _lower_resolution),
    "equalise": Kind((1,), "", "histogram equalisation", "histogram equalisation", lambda x, v: equalise(x)),
    "black_frame": Kind((2, 5, 8), "% of each side", "black frame", "a {:g} % black frame",
                        lambda x, v: framed(x, v / 100)),
    "marker": Kind((6, 10, 15), "% of the height", "burned-in marker", "a burned-in marker of {:g} % of the height",
                   lambda x, v: marked(x, v / 100)),
}  # fmt: skip
"""Name -> the three severities and their unit; one place for all of them."""

VALIDATED = ("crop", "crop_height", "zoom_out", "contrast_lower", "blur")
"""The changes that `choose_by: robust_auc` asks about, each at severity 2."""


CASES = tuple((name, severity) for name, kind in CORRUPTIONS.items() for severity in range(1, len(kind.values) + 1))
"""All kinds at all their severities, (name, severity), in the order of the table."""


@torch.no_grad()
def corrupt(images: Tensor, name: str, severity: int, rows: Rows | None = None, seed: int = 0) -> Tensor:
    """Change images, each by itself: what becomes of one does not depend on the others of its batch.

    A crop stays cropped (H' and W' are smaller): `plain` stretches it to the network's square, as a user's cropped file
    is with data.resize=stretch.

    Parameters
    ----------
    images : Tensor
        uint8 [B, 1, H, W], as in the cache, on any device.
    name : str
        One of `CORRUPTIONS`.
    severity : int
        From 1; kinds have three, `equalise` has one.
    rows : int64 [B], optional
        Numbers of the images, which key the noise with `seed`; default 0..B-1.

    Returns
    -------
    Tensor
        uint8 [B, 1, H', W'] on the device of `images`.

    Raises
    ------
    RequestError
        There is no such kind, or it has no such severity.
    """
    if name not in CORRUPTIONS:
        raise RequestError(
            f"there is no corruption '{name}'{nearest(name, CORRUPTIONS)}; known are {', '.join(CORRUPTIONS)}"
        )
    kind = CORRUPTIONS[name]
    if not 1 <= severity <= len(kind.values):
        raise RequestError(f"corruption '{name}' has no severity {severity}; it has 1 to {len(kind.values)}")
    value = kind.values[severity - 1]
    with torch.autocast(images.device.type, enabled=False):
        if kind.apply is None:
            return noisy(images, value / 100, np.arange(len(images)) if rows is None else rows, seed)
        return kind.apply(images, value)
