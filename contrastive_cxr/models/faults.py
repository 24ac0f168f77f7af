"""What a recipe asks of a backbone that it cannot do; told on the meta device, nothing is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import contrastive_cxr.models.backbones.catalogue as catalogue
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.models.backbones.blocks import divide


def block_faults(names: Sequence[str], backbone: str, projection: bool, classifier: bool) -> list[str]:
    """List what is wrong with a choice of trainable blocks.

    Parameters
    ----------
    names : sequence of str
        Names of the blocks to train.
    backbone : str
        The backbone's name; where it is not known that is the one fault returned.
    projection, classifier : bool
        Whether the phase's network has these.
    """
    try:
        known = catalogue.block_names(backbone)
    except RequestError as error:
        return list(error.faults)
    known += ["projection"] * projection + ["classifier"] * classifier
    if not names:
        return [f"trainable is empty, so nothing would be trained; name some of {', '.join(known)}, or leave it out"]
    return [
        f"trainable names '{name}', which is no block of this phase's {backbone}{nearest(name, known)}; "
        f"its blocks are {', '.join(known)}"
        for name in names
        if name not in known
    ]


def growth_faults(sides: Sequence[int], backbone: str) -> list[str]:
    """Tell what is wrong with an input that grows through `sides` pixels to the last; at most one sentence."""
    if len(set(sides)) > 1 and catalogue.fixed_size(backbone):
        return [f"initial_image_size={sides[0]}: '{backbone}' is built for one input size; set initial_image_size=null"]
    for side in sorted(set(sides))[:-1]:
        if faults := catalogue.size_faults(backbone, side):
            return [f"initial_image_size={sides[0]}: {faults[0]}"]
    return []


def norm_blocks(backbone: str, trainable: Sequence[str] | None) -> list[str]:
    """The trained blocks whose batch norm would take its statistics from the batch.

    torch itself refuses one value a channel alone: one image whose map is 1x1. One image of a larger map goes through,
    but is normalised by itself in training and by the running average afterwards, which makes two different networks of
    one. So a batch of one image is for networks without batch norm, or with it frozen.

    Parameters
    ----------
    trainable : sequence of str or None
        Names of the blocks to train; None: all.
    """
    body = catalogue.on_meta(backbone)
    return [
        name
        for name, paths in divide(body).items()
        if (trainable is None or name in trainable) and any(_has_batch_norm(body.get_submodule(path)) for path in paths)
    ]


def _has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(part, _BatchNorm) for part in module.modules())
