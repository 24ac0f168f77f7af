"""Two training images as one: mixup and cutmix, drawn on the CPU for the whole batch, whichever process uses it.

A few lines of torch: kornia's have their partner inside the batch that they are given, and draw it themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class MixDraw:
    """How the images of a global batch are mixed in pairs.

    Attributes
    ----------
    partner : int64 ndarray [B]
        Place in the global batch of each image's partner; a permutation, in which an image may meet itself.
    share : float
        Share of the image itself, in 0..1, the same for all images; the rest is the partner's.
    box : (top, bottom, left, right) or None
        Pixels that show the partner (cutmix); None: the two are laid over each other (mixup).
    """

    partner: NDArray[np.int64]
    share: float
    box: tuple[int, int, int, int] | None = None


def draw_mix(
    mixup: float, cutmix: float, probability: float, total: int, size: int, rng: np.random.Generator
) -> MixDraw | None:
    """Draw the mixing of a global batch.

    Parameters
    ----------
    mixup, cutmix : float
        Alpha of Beta(alpha, alpha), from which the share is drawn; 0: not this one. With both each batch draws one.
    probability : float
        Share of the batches that are mixed, in 0..1.
    total : int
        Images of the global batch, over all processes.
    size : int
        Side of the pictures, pixels.
    dice : numpy Generator
        Only source of the draw.

    Returns
    -------
    MixDraw or None
        None where this batch is not mixed. For cutmix the share is that of the box's pixels, which the border may cut.
    """
    mixed, which, across, down = rng.random(4)
    partner = rng.permutation(total)
    if mixed >= probability or not (mixup or cutmix):
        return None
    cut = cutmix > 0 and (not mixup or which < 0.5)
    alpha = cutmix if cut else mixup
    share = float(rng.beta(alpha, alpha))
    if not cut:
        return MixDraw(partner, share)
    half = int(size * math.sqrt(1 - share)) // 2
    x, y = int(across * size), int(down * size)
    top, bottom, left, right = max(y - half, 0), min(y + half, size), max(x - half, 0), min(x + half, size)
    return MixDraw(partner, 1 - (bottom - top) * (right - left) / size**2, (top, bottom, left, right))


@torch.no_grad()
def mix(images: Tensor, partners: Tensor, draw: MixDraw) -> Tensor:
    """Mix pictures with those of their partners.

    Mixup (Zhang et al., 2018) lays the two over each other; cutmix (Yun et al., 2019) puts a box of the partner into
    the image.

    Parameters
    ----------
    images, partners : Tensor
        float32 [B, 1, S, S] in 0..1.

    Returns
    -------
    Tensor
        float32 [B, 1, S, S] in 0..1.
    """
    if draw.box is None:
        return draw.share * images + (1 - draw.share) * partners
    top, bottom, left, right = draw.box
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = partners[..., top:bottom, left:right]
    return mixed
