"""What a detector, a screen or a file does to a picture: lower resolution, sharpness, noise, JPEG."""

from __future__ import annotations

import torch
from kornia.color import rgb_to_grayscale
from kornia.enhance import jpeg_codec_differentiable, sharpness
from torch import Tensor
from torch.nn import functional


def reduced(pictures: Tensor, share: Tensor) -> Tensor:
    """Reduce each picture to a share of its side, with antialiasing, and enlarge it again; bilinear both ways.

    Parameters
    ----------
    pictures : Tensor
        float32 [B, 1, S, S] in 0..1.
    share : Tensor
        float32 CPU tensor [B] in (0, 1]; the side is rounded to whole pixels, at least one.

    Returns
    -------
    Tensor
        float32 [B, 1, S, S] in 0..1. Two resizes for each different side among the B.
    """
    size = pictures.shape[-1]
    sides = (share.double() * size).round().long().clamp(min=1)
    changed = torch.empty_like(pictures)
    for side in set(sides.tolist()):
        there = (sides == side).nonzero().flatten().to(pictures.device, non_blocking=True)
        small = functional.interpolate(
            pictures[there], (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        changed[there] = functional.interpolate(small, (size, size), mode="bilinear", align_corners=False)
    return changed.clamp(0.0, 1.0)


def sharpened(pictures: Tensor, factor: Tensor) -> Tensor:
    """Multiply each picture's difference from its smoothed self by `factor` [B]: above 1 sharper, below it softer.

    The smoothing is Pillow's (`ImageFilter.SMOOTH`, 3x3 pixels); the outermost pixels stay.
    """
    return sharpness(pictures, factor)


def noisy(pictures: Tensor, deviation: Tensor, seeds: Tensor) -> Tensor:
    """Add Gaussian noise, each picture's from its own seed, whatever stands beside it.

    Parameters
    ----------
    pictures : Tensor
        float32 [B, 1, S, S] in 0..1.
    deviation : Tensor
        float32 CPU tensor [B], in units of the range 0..1.
    seeds : Tensor
        int64 CPU tensor [B].

    Returns
    -------
    Tensor
        float32 [B, 1, S, S] in 0..1. The noise is made on the pictures' device, so nothing is sent; it costs one kernel
        a picture, and is another on a GPU than on a CPU.
    """
    generator = torch.Generator(pictures.device)
    noise = torch.empty(pictures.shape, dtype=pictures.dtype, device=pictures.device)
    for place, seed in enumerate(seeds.tolist()):
        noise[place].normal_(generator=generator.manual_seed(seed))
    scale = deviation.to(pictures.device, non_blocking=True).view(-1, 1, 1, 1)
    return (pictures + scale * noise).clamp(0.0, 1.0)


def compressed(pictures: Tensor, quality: Tensor) -> Tensor:
    """Each picture as a JPEG file gives it back.

    Parameters
    ----------
    pictures : Tensor
        float32 [B, 1, S, S] in 0..1; rounded to 8 bits first, as many as a file holds.
    quality : Tensor
        float32 CPU tensor [B] in 1..100.

    Returns
    -------
    Tensor
        float32 [B, 1, S, S] in 0..1. Kornia's codec is for colour and rounds coefficients by a differentiable function:
        a picture is three times as large on the way, and differs a little from libjpeg's.
    """
    colour = ((pictures * 255).round() / 255).expand(-1, 3, -1, -1)
    return rgb_to_grayscale(jpeg_codec_differentiable(colour, quality)).clamp(0.0, 1.0)
