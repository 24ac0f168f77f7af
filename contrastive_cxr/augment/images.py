"""A draw applied to images on their device; everything geometric in one warp."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from kornia.enhance import adjust_brightness, adjust_contrast_with_mean_subtraction, adjust_gamma
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional

from contrastive_cxr.augment.draws import Draw, draw
from contrastive_cxr.augment.quality import compressed, noisy, reduced, sharpened
from contrastive_cxr.augment.sets import LARGEST_SIGMA, Choice, resolve

# Bilinear sampling starts to alias where it shrinks by more than this.
LARGEST_SHRINK = 1.5


def augment(
    images: Tensor,
    size: int,
    set: Choice,
    seed: int,
    rows: slice | Tensor | None = None,
    total: int | None = None,
) -> Tensor:
    """Augment images of one process with its part of the global draw.

    Parameters
    ----------
    images : Tensor
        uint8 [B, 1, H, W] on any device.
    size : int
        Side S of the output, pixels.
    set : str, Augment or AugmentSet
        The name of a shipped set, a recipe's mapping over one, or the ranges.
    seed : int
        Seed of the draw.
    rows : slice or Tensor, optional
        Which images of the global batch these are; default: all.
    total : int, optional
        Images of the global batch; default: B.

    Returns
    -------
    Tensor
        float32 [B, 1, S, S] in 0..1 on the device of `images`.
    """
    whole = draw(resolve(set), len(images) if total is None else total, seed)
    return apply(images, size, whole if rows is None else whole[rows])


@torch.no_grad()
def plain(images: Tensor, size: int) -> Tensor:
    """Resize with antialiasing, and nothing else.

    Parameters
    ----------
    images : Tensor
        uint8 [B, 1, H, W].
    size : int
        Side S of the output, pixels.

    Returns
    -------
    Tensor
        float32 [B, 1, S, S] in 0..1.
    """
    return _resize(_unit(images), (size, size))


@torch.no_grad()
def apply(images: Tensor, size: int, draw: Draw) -> Tensor:
    """Apply a draw.

    The order: equalise the whole image's histogram; one warp for crop, zoom, stretch, shift, rotation and mirrors;
    lower resolution, blur, sharpness; contrast, brightness, gamma; noise, JPEG; erase, frame.

    Parameters
    ----------
    images : Tensor
        uint8 [B, 1, H, W].
    size : int
        Side S of the output, pixels.
    draw : Draw
        Parameters of the B images.

    Returns
    -------
    Tensor
        float32 [B, 1, S, S] in 0..1; black where the image does not reach. A draw that changes nothing gives `plain`.
    """
    assert len(draw) == len(images), f"{len(draw)} draws for {len(images)} images; take the rows of this process"
    # Which steps are needed is read from the draw on the CPU, and its numbers are sent without waiting for the GPU to
    # take them: the driver copies what is not pinned before it returns.
    sent = partial(Tensor.to, device=images.device, non_blocking=True)
    with torch.autocast(images.device.type, enabled=False):
        equalised = draw.equalise.nonzero().flatten()
        if len(equalised):
            there = sent(equalised)
            images = images.index_copy(0, there, equalise(images[there]))
        picture = _geometry(images, size, draw)
        _change(picture, draw.resolution < 1, reduced, draw.resolution)
        _change(picture, draw.sigma > 0, _blur, draw.sigma)
        _change(picture, draw.sharpness != 1, sharpened, draw.sharpness)
        if bool((draw.contrast != 1).any()):
            picture = adjust_contrast_with_mean_subtraction(picture, sent(draw.contrast))
        if bool((draw.brightness != 0).any()):
            picture = adjust_brightness(picture, sent(draw.brightness))
        if bool((draw.gamma != 1).any()):
            picture = adjust_gamma(picture, sent(draw.gamma))
        _change(picture, draw.noise > 0, noisy, draw.noise, draw.noise_seed)
        _change(picture, draw.jpeg > 0, compressed, draw.jpeg)
        if bool((draw.erase_width > 0).any()):
            picture = picture.masked_fill(_erased_pixels(draw, size, images.device), 0.0)
        bands = torch.stack([draw.frame_left, draw.frame_right, draw.frame_top, draw.frame_bottom])
        if bool((bands > 0).any()):
            picture = picture.masked_fill(_framed_pixels(sent(bands), size), 0.0)
        return picture.clamp(0.0, 1.0)


@torch.no_grad()
def equalise(images: Tensor) -> Tensor:
    """Spread each image's grey values so that they are about equally frequent; its darkest becomes 0, its lightest 255.

    The darkest value's own count is left out, so a black border does not press the rest together.

    Parameters
    ----------
    images : Tensor
        uint8 [B, 1, H, W].

    Returns
    -------
    Tensor
        uint8 [B, 1, H, W]; an image of one value stays as it is.
    """
    values = images.flatten(1).long()
    # shape[0] and not len(): an export takes what len() gives for a constant
    counts = torch.zeros(images.shape[0], 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(1, values, torch.ones_like(values))
    below = counts.cumsum(dim=1)
    darkest = below.gather(1, values.amin(dim=1, keepdim=True))
    span = values.shape[1] - darkest
    curve = ((below - darkest).clamp(min=0) * 255 / span.clamp(min=1)).round()
    curve = torch.where(span > 0, curve, torch.arange(256, device=images.device))
    return curve.gather(1, values).to(torch.uint8).reshape(images.shape)


def _change(pictures: Tensor, chosen: Tensor, change: Callable[..., Tensor], *parameters: Tensor) -> None:
    """Put `change(pictures, *parameters)` in the place of the chosen ones; `chosen` is a bool CPU tensor [B]."""
    these = chosen.nonzero().flatten()
    if len(these):
        there = these.to(pictures.device, non_blocking=True)
        pictures[there] = change(pictures[there], *(values[these] for values in parameters))


def _geometry(images: Tensor, size: int, draw: Draw) -> Tensor:
    moved = draw.moves()
    if bool(moved.all()):
        return _warp(images, size, draw)
    picture = plain(images, size)
    if bool(moved.any()):
        these = moved.nonzero().flatten()
        there = these.to(images.device, non_blocking=True)
        picture[there] = _warp(images[there], size, draw[these])
    return picture


def _warp(images: Tensor, size: int, draw: Draw) -> Tensor:
    """Crop, zoom, shift, rotation and mirror in one sampling of the image."""
    height, width = images.shape[-2:]
    limit = round(LARGEST_SHRINK * size)
    source = _unit(images)
    if max(height, width) > limit:
        source = _resize(source, (min(height, limit), min(width, limit)))
    matrix = _matrix(draw, aspect=height / width).to(images.device, non_blocking=True)
    grid = functional.affine_grid(matrix, [len(images), 1, size, size], align_corners=False)
    warped = functional.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    # Zero padding proper would darken the outermost half pixel of an image that fills its window.
    inside = (grid.abs() <= 1.0).all(dim=-1)
    return warped * inside.unsqueeze(1)


def _matrix(draw: Draw, aspect: float) -> Tensor:
    """From output to image coordinates, both -1..1: float32 [B, 2, 3]; `aspect` is the image's height over width."""
    angle = torch.deg2rad(draw.angle.double())
    cos, sin = torch.cos(angle), torch.sin(angle)
    across, down = draw.width * draw.mirror_x, draw.height * draw.mirror_y
    first = torch.stack([cos * across, -sin * aspect * down, draw.x.double()], dim=1)
    second = torch.stack([sin / aspect * across, cos * down, draw.y.double()], dim=1)
    return torch.stack([first, second], dim=1).float()


def _blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    size = pictures.shape[-1]
    radius = max(1, math.ceil(3 * LARGEST_SIGMA * size))
    # on the CPU: kornia reads it, and sends it itself
    pixels = (sigma * size).unsqueeze(1).expand(-1, 2)
    return gaussian_blur2d(pictures, 2 * radius + 1, pixels)


def _framed_pixels(bands: Tensor, size: int) -> Tensor:
    """Pixels whose centre lies in a band along a side: bool [B, 1, S, S] of widths [4, B], shares of the side."""
    left, right, top, bottom = bands.unsqueeze(2).unbind()
    centre = (torch.arange(size, device=bands.device) + 0.5) / size
    columns = (centre < left) | (centre > 1 - right)
    lines = (centre < top) | (centre > 1 - bottom)
    return (lines.unsqueeze(2) | columns.unsqueeze(1)).unsqueeze(1)


def _erased_pixels(draw: Draw, size: int, device: torch.device) -> Tensor:
    """Pixels whose centre lies in the erased box: bool [B, 1, S, S], made on the device from the sent boxes."""
    boxes = torch.stack([draw.erase_left, draw.erase_top, draw.erase_width, draw.erase_height])
    left, top, width, height = boxes.to(device, non_blocking=True).unsqueeze(2).unbind()
    centre = (torch.arange(size, device=device) + 0.5) / size
    columns = (centre >= left) & (centre < left + width)
    lines = (centre >= top) & (centre < top + height)
    return (lines.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)


def _unit(images: Tensor) -> Tensor:
    return images.to(torch.float32) / 255.0


def _resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(images.shape[-2:]) == size:
        return images
    resized = functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return resized.clamp(0.0, 1.0)
