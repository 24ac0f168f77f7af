"""What a checkpoint holds: the parts that are trained, and how far the training is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

import contrastive_cxr.engine.optim as optim
from contrastive_cxr.engine.compiled import Compiled
from contrastive_cxr.engine.spec import FitSpec
from contrastive_cxr.errors import RequestError


@dataclass
class Progress:
    """How far a phase is.

    Attributes
    ----------
    epoch, step : int
        The epoch being trained, from 0, and the steps done in it.
    best_epoch : int
        The chosen epoch, from 1; 0: none yet.
    best_value : float or None
        Its value of `choose_by`.
    images : int
        Images seen.
    seconds, epoch_seconds : float
        Spent on all and on this epoch.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    images: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0


@dataclass
class EpochMetrics:
    """What an epoch's steps gave so far; stays on the device, a few operations a step however many values there are."""

    names: list[str] = field(default_factory=list)
    sums: Tensor | None = None
    weights: Tensor | None = None
    kept: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, names: list[str], values: Tensor, keep: Mapping[str, Tensor], images: int) -> None:
        """Add a step of `images` images: values float64 [len(names)], of which NaNs count nothing."""
        there = ~values.isnan()
        sums, weights = torch.where(there, values, 0.0) * images, there.double() * images
        if self.sums is None or self.weights is None:
            self.names, self.sums, self.weights = names, sums, weights
        else:
            assert names == self.names, f"a step gave {names}, the epoch's first {self.names}"
            self.sums, self.weights = self.sums + sums, self.weights + weights
        for name, tensor in keep.items():
            self.kept.setdefault(name, []).append(tensor)

    def means(self) -> dict[str, float]:
        """Mean over the images of the epoch; NaN where there was never a value."""
        if self.sums is None or self.weights is None:
            return {}
        return dict(zip(self.names, (self.sums / self.weights).tolist(), strict=True))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was kept, [N, ...] each; half precision as float32."""
        return {name: _exact(torch.cat(parts)).cpu().numpy() for name, parts in self.kept.items()}

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        sums, weights = ((each if each is not None else torch.zeros(0)) for each in (self.sums, self.weights))
        return {
            "sums": dict(zip(self.names, sums.unbind(), strict=True)),
            "weights": dict(zip(self.names, weights.unbind(), strict=True)),
            "kept": {name: torch.cat(parts) for name, parts in self.kept.items()},
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], device: torch.device) -> EpochMetrics:
        """From a checkpoint."""
        kept = {name: [value.to(device)] for name, value in state["kept"].items()}
        if not state["sums"]:
            return cls(kept=kept)
        sums, weights = (torch.stack(list(state[name].values())).to(device) for name in ("sums", "weights"))
        return cls(list(state["sums"]), sums, weights, kept)


def _exact(tensor: Tensor) -> Tensor:
    """NumPy knows no bfloat16."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


class TrainState:
    """The network with everything that is trained along with it, on the device.

    Attributes
    ----------
    network : nn.Module
        The phase's own.
    wrapped : nn.Module
        The same, as Fabric runs it: what a step calls.
    optimiser : torch.optim.Optimizer
        As Fabric steps it.
    average : optim.Average or None
        The running average of weights.
    """

    def __init__(self, fabric: Fabric, spec: FitSpec) -> None:
        self.fabric = fabric
        self.network = fabric.to_device(spec.network)
        if spec.channels_last:
            self.network.to(memory_format=torch.channels_last)
        self.average = optim.Average(self.network, spec.average) if spec.average > 0 else None
        self.objective = None if spec.objective is None else fabric.to_device(spec.objective)
        # a scaler of gradients (16-mixed) and clipping do not go with a fused step
        fused = getattr(fabric.strategy.precision, "scaler", None) is None
        self._raw_optimiser = optim.make_optimiser(spec.parameter_groups, spec.optimiser, fused)
        mode = "default" if spec.compile is True else spec.compile
        network = Compiled(self.network, spec.name, mode) if mode else self.network
        self.wrapped, self.optimiser = fabric.setup(network, self._raw_optimiser)

    @property
    def chosen(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average.module

    def train(self) -> None:
        """Everything in training mode (blocks that the network holds stay held)."""
        self.network.train()
        if self.objective is not None:
            self.objective.train()

    def share_buffers(self) -> None:
        """Give all processes the first one's buffers, as its batch norms saw other images than theirs."""
        if self.fabric.world_size == 1:
            return
        modules = [module for module in (self.network, self.average) if module is not None]
        buffers = [buffer for module in modules for buffer in module.buffers()]
        first = self.fabric.broadcast([buffer.cpu() for buffer in buffers])
        for buffer, value in zip(buffers, first, strict=True):
            buffer.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "objective": None if self.objective is None else self.objective.state_dict(),
            "optimiser": self._raw_optimiser.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint.

        Raises
        ------
        RequestError
            The checkpoint is of another network, optimiser or objective.
        """
        try:
            self.network.load_state_dict(state["network"])
            for module, name in ((self.average, "average"), (self.objective, "objective")):
                if module is not None:
                    module.load_state_dict(state[name])
            self._raw_optimiser.load_state_dict(state["optimiser"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise RequestError(
                f"the checkpoint does not fit this recipe ({str(error).splitlines()[0]}); "
                "resume with the recipe it was written with, or start again with --overwrite"
            ) from error
