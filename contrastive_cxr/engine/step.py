"""One training step: forward, loss, backward, clipping, optimiser, running average; and its learning rate."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_fabric import Fabric

import contrastive_cxr.engine.optim as optim
from contrastive_cxr.engine.spec import Batch, FitSpec, StepOutput
from contrastive_cxr.engine.state import TrainState
from contrastive_cxr.run.seeds import globals_from


@dataclass(frozen=True)
class TrainStep:
    """The step of a phase: `backward` for every batch, `update` for the last batch of each update.

    Attributes
    ----------
    parts : TrainState
        Network, optimiser and running average.
    steps : int
        Steps of an epoch.
    """

    fabric: Fabric
    spec: FitSpec
    parts: TrainState
    steps: int

    def backward(self, batch: Batch, index: int) -> StepOutput:
        """Forward and backward pass of the step `index` of its epoch; gradients add up until the next update."""
        spec, fabric, network = self.spec, self.fabric, self.parts.wrapped
        start = index - index % spec.accumulate
        batches = min(spec.accumulate, self.steps - start)  # of this update
        with (
            globals_from(spec.seed, spec.name, batch.epoch, index, fabric.global_rank),
            fabric.no_backward_sync(network, enabled=not self.ends_update(index)),
        ):
            output = spec.step(network, batch)
            assert output.loss.requires_grad, "the loss has no gradient; a loss of nothing is embeddings.sum() * 0"
            fabric.backward(output.loss / batches)
        return output

    def ends_update(self, index: int) -> bool:
        """Whether the optimiser steps after this step of an epoch."""
        return (index + 1) % self.spec.accumulate == 0 or index + 1 == self.steps

    def update(self, epoch: int, index: int) -> None:
        """Clip the gradients, step the optimiser, update the running average.

        Parameters that wait (`optim.waits`) keep their weights, and the optimiser keeps their moments.
        """
        optimiser, rate = self.parts.optimiser, self.rate(epoch, index)
        for group in optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
            if optim.waits(group, epoch):
                for parameter in group["params"]:
                    parameter.grad = None  # neither the clipping nor the optimiser sees it
        if self.spec.optimiser.clip_norm > 0:
            self.fabric.clip_gradients(
                self.parts.wrapped, optimiser, max_norm=self.spec.optimiser.clip_norm, error_if_nonfinite=False
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if self.parts.average is not None:
            self.parts.average.update_parameters(self.parts.network)

    def rate(self, epoch: int, index: int) -> float:
        """The learning rate of the update that a step belongs to, as a share of the peak rate."""
        updates = -(-self.steps // self.spec.accumulate)  # of an epoch
        update = epoch * updates + index // self.spec.accumulate
        return optim.factor(self.spec.schedule, update, updates, self.spec.epochs)

    def wait(self, epoch: int) -> None:
        """Turn off the gradients of parameters that wait in this epoch.

        With several processes they stay on: DDP needs a gradient of every parameter that it was made with.
        """
        if self.fabric.world_size > 1:
            return
        for group in self.parts.optimiser.param_groups:
            if "from_epoch" in group:
                for parameter in group["params"]:
                    parameter.requires_grad_(not optim.waits(group, epoch))
