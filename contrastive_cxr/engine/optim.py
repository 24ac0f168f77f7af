"""The optimiser, its schedule, and the running average of weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema


def parameter_groups(
    modules: Iterable[nn.Module], optimiser: schema.Optimiser, lr: float | None = None
) -> list[dict[str, Any]]:
    """Divide the trainable parameters of `modules` into those that decay and those that do not (norms and biases).

    Parameters
    ----------
    modules : iterable of nn.Module
        Such as `[network]`, or the modules of some of its blocks.
    optimiser : schema.Optimiser
        Its `weight_decay` and `lr`.
    lr : float, optional
        The peak rate of these modules, where it is not the optimiser's.

    Returns
    -------
    list of dict
        One or two groups (empty ones left out): `params`, `lr`, `weight_decay`.
    """
    # a dict keeps the order and takes a shared parameter once
    parameters = dict.fromkeys(p for module in modules for p in module.parameters())
    return groups_of(parameters, optimiser, optimiser.lr if lr is None else lr)


def groups_of(parameters: Iterable[nn.Parameter], optimiser: schema.Optimiser, rate: float) -> list[dict[str, Any]]:
    """As `parameter_groups`, of parameters at the peak rate `rate`; those without gradient are left out."""
    trained = [p for p in parameters if p.requires_grad]
    decayed = {"params": [p for p in trained if p.ndim > 1], "lr": rate, "weight_decay": optimiser.weight_decay}
    free = {"params": [p for p in trained if p.ndim <= 1], "lr": rate, "weight_decay": 0.0}
    return [group for group in (decayed, free) if group["params"]]


def waits(group: dict[str, Any], epoch: int) -> bool:
    """Whether a group of parameters is not updated in an epoch (from 0): it has a `from_epoch` above it."""
    return epoch < int(group.get("from_epoch", 0))


def make_optimiser(
    groups: Sequence[dict[str, Any]], optimiser: schema.Optimiser, fused: bool = True
) -> torch.optim.Optimizer:
    """Make the optimiser of a phase; each group keeps its peak rate as `initial_lr`.

    `fused`: each weight is read once an update, on a CPU three times as fast as torch's default (RMSprop has none).

    Raises
    ------
    RequestError
        Nothing is trainable.
    """
    if not any(len(group["params"]) for group in groups):
        raise RequestError("no parameter is trainable; name at least one block in trainable, or leave it out for all")
    groups = [{"lr": optimiser.lr, **group} for group in groups]
    groups = [{**group, "initial_lr": group["lr"]} for group in groups]
    if optimiser.name == "sgd":
        return torch.optim.SGD(groups, momentum=optimiser.momentum, fused=fused)
    if optimiser.name == "rmsprop":
        return torch.optim.RMSprop(groups, momentum=optimiser.momentum)
    kind = torch.optim.Adam if optimiser.name == "adam" else torch.optim.AdamW
    return kind(groups, fused=fused)


def factor(schedule: schema.Schedule, update: int, updates_per_epoch: int, epochs: int) -> float:
    """The learning rate of an update, as a share of its peak.

    Parameters
    ----------
    schedule : schema.Schedule
        Shape and warm-up.
    update : int
        Update over the whole phase, from 0.
    updates_per_epoch, epochs : int
        The phase's length.

    Returns
    -------
    float
        In 0..1.
    """
    total = updates_per_epoch * epochs
    if schedule.name == "one-cycle":
        return _one_cycle(update, total)
    warm = schedule.warmup_epochs * updates_per_epoch
    if update < warm:
        return (update + 1) / (math.floor(warm) + 1)
    if schedule.name == "step":
        return float(schedule.gamma ** (update // updates_per_epoch // schedule.step_epochs))
    if schedule.name == "inverse-time":
        return 1.0 / (1.0 + (update - warm) / updates_per_epoch / schedule.half_epochs)
    if schedule.name == "cosine":
        return _between(1.0, 0.0, (update - warm) / max(total - warm, 1.0))
    return 1.0


def _one_cycle(update: int, total: int) -> float:
    """Up from 1/25 over the first quarter, then down to 1/10000, both along a cosine (Smith and Topin, 2018)."""
    peak = max(0.25 * total - 1, 0.0)
    if update < peak:
        return _between(1 / 25, 1.0, update / peak)
    return _between(1.0, 1e-4, (update - peak) / max(total - 1 - peak, 1.0))


def _between(start: float, end: float, share: float) -> float:
    """From `start` at share 0 to `end` at share 1, along a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(share, 1.0)))


class Average(AveragedModel):
    """Running average of parameters and buffers: update t keeps min(decay, (1 + t) / (10 + t)) of the old average.

    The ramp lets the average forget the first weights in a short training. Integer buffers are copied.

    An update of its own: torch's sends its counter to the device, which waits for it, and goes through all tensors in
    Python (DenseNet-169: 1,015 of them; on a CPU 19 ms an update, here 8).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.decay = decay
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] | None = None

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take up the weights of `model`, the same module at every call."""
        if self._pairs is None:
            self._pairs = self._paired(model)
        # n_averaged lives on the CPU: reading it waits for no device
        count = int(self.n_averaged)
        for averages, current in self._pairs:
            if count and averages[0].is_floating_point():
                torch._foreach_lerp_(averages, current, 1 - min(self.decay, (1 + count) / (10 + count)))
            else:
                torch._foreach_copy_(averages, current)
        self.n_averaged += 1

    def _paired(self, model: nn.Module) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Averages and their sources, parameters and buffers, by dtype; loading weights copies into these tensors."""
        groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        both = (chain(module.parameters(), module.buffers()) for module in (self.module, model))
        for average, source in zip(*both, strict=True):
            averages, current = groups.setdefault(average.dtype, ([], []))
            averages.append(average.detach())
            current.append(source.detach())
        return list(groups.values())
