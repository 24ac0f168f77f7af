"""A pass without gradients in parts whose feature maps are small; a GPU takes all images at once.

The feature maps of the first layers are many times as large as the images. Beyond 32 MiB glibc takes each from the
kernel, filled with zeros, and gives it back: EfficientNet-Lite0 at 128 pixels on two threads of an AMD EPYC (Zen 5)
encodes 225 images a second 64 at a time, 333 16 at a time. Where freed memory is kept (`engine.allocator`) it is 640 to
690, however many at a time; parts then only save memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

PIXELS = 16 * 128**2
"""Of all images of a part, at most: 20 of 112 x 112, 16 of 128 x 128."""
LEAST = 8
"""Images that a part may have, however large they are: with fewer the matrix products get too small."""


def in_parts(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """`function` of all images: on a CPU part by part, the parts of about the same size, put together again.

    Parameters
    ----------
    function : callable
        `function(images [B, ...]) -> [B, ...]`, each image for itself, as a network does in evaluation mode.
    images : Tensor
        [B, ..., H, W].

    Examples
    --------
    >>> sizes = []
    >>> in_parts(lambda part: sizes.append(len(part)) or part, torch.zeros(64, 1, 128, 128)).shape, sizes
    (torch.Size([64, 1, 128, 128]), [16, 16, 16, 16])
    """
    most = max(LEAST, PIXELS // max(1, images.shape[-2] * images.shape[-1]))
    if images.device.type != "cpu" or len(images) <= most:
        return function(images)
    return torch.cat([function(part) for part in images.chunk(math.ceil(len(images) / most))])
