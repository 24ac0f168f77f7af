"""How many images a second this machine trains on, with a small network."""

from __future__ import annotations

import time
from typing import Any

import torch

from contrastive_cxr import models, terminal
from contrastive_cxr.recipe import schema

NETWORK = "resnet18"
SIDE = 224
BATCH = 16
LEAST = 2  # steps that are measured at least, after one that is not


def images_per_second(seconds: float, side: int = SIDE, batch: int = BATCH) -> dict[str, Any]:
    """Forward and backward passes of ResNet-18 on grey noise, in 32 bits, on the GPU where there is one.

    Parameters
    ----------
    seconds : float
        Most that it takes, seconds, above 0; slow machines take the time of three steps at least.
    side : int
        Side of the images, pixels, at least 32.
    batch : int
        Images a step, at least 2.

    Returns
    -------
    dict
        `images_per_second`, and what was measured: `network`, `image_size`, `batch`, `steps`, `seconds`, `device`.
    """
    began = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    section = schema.Model(backbone=NETWORK, image_size=side)
    network = models.build(section, classes=2, mean=0.5, std=0.25, seed=0).to(device)
    network.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((batch, 1, side, side), generator=generator).to(device)
    labels = (torch.arange(batch) % 2).to(device)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.nn.functional.cross_entropy(network.logits(images), labels))
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    with terminal.Stages("measuring the speed", 1):
        step()  # the first one chooses kernels and allocates
        steps, started = 0, time.perf_counter()
        while steps < LEAST or time.perf_counter() - began < seconds:
            step()
            steps += 1
            terminal.share(time.perf_counter() - began, seconds)
        spent = time.perf_counter() - started
    return {
        "images_per_second": round(steps * batch / spent, 1),
        "network": NETWORK,
        "image_size": side,
        "batch": batch,
        "steps": steps,
        "seconds": round(spent, 2),
        "device": device.type,
    }
