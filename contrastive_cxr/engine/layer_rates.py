"""Learning rates by block of a network: those of the head, layer-wise decay, and blocks that wait for the head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contrastive_cxr.engine.optim import groups_of, parameter_groups
from contrastive_cxr.models import Network
from contrastive_cxr.recipe import schema


def decay_factors(network: Network, decay: float) -> dict[str, float]:
    """Share of the rate that each block has: 1 for the last, `decay` for the one before it, then its powers.

    Layer-wise learning-rate decay (Howard and Ruder, 2018; as BEiT and timm have it). Blocks are those that
    `Network.blocks` tells: of an EfficientNet or a ResNet its stages, of a transformer its layers. A block of norms
    alone (a DenseNet's `norm5`, a transformer's `norm`) is no layer of its own: it has the factor of the block before.

    Parameters
    ----------
    decay : float
        In 0..1, above 0.

    Returns
    -------
    dict of str to float
        Block name: factor in 0..1, in forward order.
    """
    depth, depths = -1, {}
    for name, parameters in network.block_parameters().items():
        depth += depth < 0 or any(parameter.ndim > 1 for parameter in parameters)
        depths[name] = depth
    return {name: decay ** (depth - own) for name, own in depths.items()}


def network_groups(
    network: Network, optimiser: schema.Optimiser, head: str, *, backbone_lr: float | None = None, head_epochs: int = 0
) -> list[dict[str, Any]]:
    """Divide a network's trainable parameters into groups of one rate and one weight decay.

    Parameters
    ----------
    optimiser : schema.Optimiser
        `lr`, `head_lr`, `layer_decay` and `weight_decay`.
    head : str
        The block of new layers; its rate is `head_lr`, or else `lr`.
    backbone_lr : float, optional
        Rate of the other blocks before the decay, where it is not `lr`.
    head_epochs : int
        Epochs in which the other blocks are not updated.

    Returns
    -------
    list of dict
        `params`, `lr`, `weight_decay`; `from_epoch` (the first epoch with updates) where it is not 0. Without any of
        these settings the groups are `parameter_groups([network], optimiser)`.
    """
    apart = optimiser.head_lr is not None or backbone_lr is not None or head_epochs
    if optimiser.layer_decay == 1 and not apart:
        return parameter_groups([network], optimiser)
    factors = decay_factors(network, optimiser.layer_decay)
    found = []
    for name, parameters in network.block_parameters().items():
        rate = optimiser.lr if backbone_lr is None else backbone_lr
        if name == head:
            rate = optimiser.lr if optimiser.head_lr is None else optimiser.head_lr
        own = groups_of(parameters, optimiser, rate * factors[name])
        if name != head and head_epochs:
            own = [{**group, "from_epoch": head_epochs} for group in own]
        found += own
    return _merged(found)


def waiting(network: Network, head: str, head_epochs: int) -> Callable[[int], None] | None:
    """`prepare(epoch)` of a phase: in the first `head_epochs` epochs all blocks but the head are held.

    Linear probing, then fine-tuning (Kumar et al., 2022). None where no epoch is of the head alone.
    """
    if not head_epochs:
        return None
    others = [name for name in network.blocks() if name != head]

    def prepare(epoch: int) -> None:
        network.hold(others if epoch < head_epochs else ())

    return prepare


def _merged(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of the same settings as one, in order of the first: an update takes one call a group."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for group in groups:
        settings = {name: value for name, value in group.items() if name != "params"}
        whole = found.setdefault(tuple(settings.items()), {"params": [], **settings})
        whole["params"] += group["params"]
    return list(found.values())
