"""Looks whether losses and weights stay finite, at no cost to the device."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor

from contrastive_cxr.engine.health.not_finite import FILE, FailedStep, refuse, weights_of
from contrastive_cxr.engine.spec import Batch, FitSpec
from contrastive_cxr.engine.state import TrainState

# losses before a step that is not finite: enough to see whether they ran away
LOSSES = 20


class Watch:
    """The watch of one sitting of a phase.

    Parameters
    ----------
    batch_of : callable
        `batch_of(epoch, index) -> Batch` of the step `index` of an epoch.
    rate_of : callable
        `rate_of(epoch, index) -> float`: share of the peak rate in the step's update.
    """

    def __init__(
        self,
        fabric: Fabric,
        spec: FitSpec,
        parts: TrainState,
        batch_of: Callable[[int, int], Batch],
        rate_of: Callable[[int, int], float],
    ) -> None:
        self._fabric, self._spec, self._parts = fabric, spec, parts
        self._batch_of, self._rate_of = batch_of, rate_of
        self._losses: deque[float] = deque(maxlen=LOSSES)
        # the first step whose loss is not finite, -1 for none; on the device, as reading it waits for the device
        self._bad = torch.full((1,), -1.0, dtype=torch.float64, device=fabric.device)
        if fabric.is_global_zero:
            (spec.folder / FILE).unlink(missing_ok=True)

    def note(self, loss: Tensor, step: int) -> None:
        """Note on the device whether a step's loss, float64 [1] and the mean of all processes, is finite."""
        self._bad = torch.where((self._bad < 0) & ~loss.isfinite(), float(step), self._bad)

    def read(self, names: list[str], values: Tensor, batch: Batch, index: int) -> dict[str, float]:
        """What a step gave, float64 [len(names)], as numbers; waits for the device.

        Raises
        ------
        CcxrError
            The loss of this step, or of one that was not read, is not finite.
        """
        *numbers, bad = torch.cat([values, self._bad]).tolist()
        row = dict(zip(names, numbers, strict=True))
        if bad >= 0:
            late = batch.step - int(bad)
            raise refuse(self._scene(batch.epoch, index - late, row, late))
        self._losses.append(row["loss"])
        return row

    def check_weights(self, epoch: int, index: int) -> None:
        """Refuse to go on, or to save, with weights that the update of a step broke.

        Raises
        ------
        CcxrError
            Which ones.
        """
        if weights_of(self._parts.network):
            loss = self._losses[-1] if self._losses else math.nan
            raise refuse(self._scene(epoch, index, {"loss": loss}))

    def _scene(self, epoch: int, index: int, values: Mapping[str, float], late: int = 0) -> FailedStep:
        rate = self._spec.optimiser.lr * self._rate_of(epoch, index)
        batch, losses = self._batch_of(epoch, index), list(self._losses)
        return FailedStep(self._fabric, self._spec, self._parts, batch, index, values, rate, losses, late)
