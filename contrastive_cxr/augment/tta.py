"""Test-time augmentation: named sets of fixed views, whose predictions are averaged."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from contrastive_cxr.augment.draws import Draw, draw
from contrastive_cxr.augment.images import apply
from contrastive_cxr.augment.sets import AugmentSet
from contrastive_cxr.errors import RequestError, nearest

# Each view by what it changes of a draw that changes nothing; every set begins with the plain view.
TTA_SETS: dict[str, dict[str, dict[str, float]]] = {
    "none": {"plain": {}},
    "mirror-turn": {
        "plain": {},
        "left and right exchanged": {"mirror_x": -1.0},
        "turned by 10 degrees": {"angle": 10.0},
    },
    "equalise-shift": {
        "plain": {},
        "histogram equalised": {"equalise": 1.0},
        "shifted right by 10 %": {"x": -0.2},  # the window's centre, the image spanning -1..1
    },
    "crops": {
        "plain": {},
        "middle 90 % of width and height": {"width": 0.9, "height": 0.9},
        "shrunk to 90 %": {"width": 1 / 0.9, "height": 1 / 0.9},
    },
    "wide": {
        "plain": {},
        "middle 85 % of the height": {"height": 0.85},
        "middle 85 % of the width": {"width": 0.85},
        "middle 85 % of width and height": {"width": 0.85, "height": 0.85},
        "shrunk to 90 %": {"width": 1 / 0.9, "height": 1 / 0.9},
    },
}


def views(images: Tensor, size: int, name: str) -> list[Tensor]:
    """The views of a set, the same for every call.

    Parameters
    ----------
    images : Tensor
        uint8 [B, 1, H, W] on any device.
    size : int
        Side S of the output, pixels.
    name : str
        One of `TTA_SETS`.

    Returns
    -------
    list of Tensor
        float32 [B, 1, S, S] in 0..1 each; the first is `plain`.

    Raises
    ------
    RequestError
        There is no such set.
    """
    if name not in TTA_SETS:
        raise RequestError(
            f"tta: there is no set '{name}'{nearest(name, TTA_SETS)}; known are {', '.join(TTA_SETS)}; name one of them"
        )
    still = draw(AugmentSet(), len(images), seed=0)
    return [apply(images, size, _changed(still, changes)) for changes in TTA_SETS[name].values()]


def _changed(still: Draw, changes: dict[str, float]) -> Draw:
    """The draw with some of its fields the same value for all images."""
    return dataclasses.replace(still, **{name: torch.full((len(still),), value) for name, value in changes.items()})
