"""Activation maximisation: gradient ascent on the input for a class (Erhan et al. 2009; Simonyan et al. 2013).

Left alone, ascent ends in noise that no eye can read. Three usual regularisers hold it back: jitter (each step sees the
image shifted by a few pixels), a blur every few steps, and a pull towards mid-grey (L2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from contrastive_cxr.explain.maps import Answer
from contrastive_cxr.run import seeds

Floats = NDArray[np.float32]
GREY, NOISE = 0.5, 0.1  # fainter noise leaves a network that answers to strong edges alone without a gradient


@dataclass(frozen=True)
class Ascent:
    """How the input climbs.

    Attributes
    ----------
    steps : int
        Steps, 0 or more.
    rate : float
        Root mean square of a step's change, in units of grey (0..1).
    jitter : int
        Largest shift of a step, pixels, at each axis; the image is taken as a ring.
    blur : float
        Width (standard deviation) of the blur, pixels; 0: none.
    blur_every : int
        Steps between two blurs; the last step is not blurred.
    pull : float
        Share of the distance to mid-grey that is taken back in a step, 0..1.
    seed : int
        Seed of the first image and of the shifts.
    """

    steps: int = 100
    rate: float = 0.02
    jitter: int = 4
    blur: float = 0.7
    blur_every: int = 5
    pull: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Risen:
    """What the ascent began with and came to.

    Attributes
    ----------
    start, image : float32 [S, S] in 0..1
    before, after : float
        The answer for each, without jitter.
    """

    start: Floats
    image: Floats
    before: float
    after: float


def maximise(answer: Answer, size: int, ascent: Ascent, device: torch.device | str = "cpu") -> Risen:
    """Climb from mid-grey with noise to an image with a higher answer.

    A step: x + rate * g / rms(g) - pull * (x - 0.5), held in 0..1; g is the gradient at the shifted x, shifted back.

    Parameters
    ----------
    answer : callable
        Maps float32 [1, 1, S, S] in 0..1 to a scalar; a class's logit.
    size : int
        S, pixels.
    ascent : Ascent
        Steps and regularisers.
    device : torch.device
        Where the answer is computed.
    """
    rng = seeds.generator(ascent.seed, "explain", "ascent")
    start = (GREY + NOISE * torch.randn(1, 1, size, size, generator=rng)).clamp(0, 1).to(device)
    image = start
    for step in range(ascent.steps):
        shift = torch.randint(-ascent.jitter, ascent.jitter + 1, (2,), generator=rng).tolist()
        gradient = _gradient(answer, image.roll(shift, (2, 3))).roll([-shift[0], -shift[1]], (2, 3))
        size_of_step = gradient.square().mean().sqrt().clamp_min(1e-12)
        climbed = image + ascent.rate * gradient / size_of_step - ascent.pull * (image - GREY)
        image = climbed.clamp(0, 1)
        if ascent.blur and (step + 1) % ascent.blur_every == 0 and step + 1 < ascent.steps:
            image = _blurred(image, ascent.blur)
    with torch.no_grad():
        before, after = float(answer(start)), float(answer(image))
    return Risen(_plane(start), _plane(image), before, after)


def _gradient(answer: Answer, image: Tensor) -> Tensor:
    image = image.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(answer(image), image)[0]


def _blurred(image: Tensor, width: float) -> Tensor:
    plane = gaussian_filter(_plane(image), width, mode="wrap")
    return torch.from_numpy(plane)[None, None].to(image.device)


def _plane(image: Tensor) -> Floats:
    return image[0, 0].detach().cpu().numpy().astype(np.float32)
