"""Validation of a phase that learns classes: the validation images as they are, and under fixed changes where asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr import augment
from contrastive_cxr.augment.corruptions import VALIDATED, corrupt
from contrastive_cxr.data.batches import Images
from contrastive_cxr.phases.context import PhaseContext
from contrastive_cxr.phases.supervised import ClassStep

SEVERITY = 2
"""Of the changes that the choice of a checkpoint looks at."""


@dataclass(frozen=True)
class Validation:
    """`validate(network, epoch) -> {metric: value}` of a supervised phase, as `engine.FitSpec` wants it.

    With `robust` there is `robust_auc` too: the mean of the AUC on the plain validation images and of those under the
    changes `VALIDATED` (crop of all sides, crop of the height, zoom out, lower contrast, blur), each at severity 2. It
    takes six passes over the validation images in the place of one: where these are a tenth of the training images, an
    epoch takes about a sixth longer.

    Attributes
    ----------
    step : ClassStep
        Whose loss and scores are taken.
    images : Images
        On the device.
    robust : bool
        Whether the changed images are scored too.
    """

    context: PhaseContext
    step: ClassStep
    images: Images
    robust: bool = False

    def __call__(self, network: nn.Module, epoch: int) -> dict[str, float]:
        """Loss and scores of the validation images; nan where one is undefined."""
        rows = self.context.data.rows("val")
        found = self.step.metrics(self.context.encode(network, self.images, rows), rows)
        if not self.robust:
            return found
        areas = [found["auc"], *(self.changed(network, name, rows) for name in VALIDATED)]
        return {**found, "robust_auc": float(np.mean(areas))}

    def changed(self, network: nn.Module, name: str, rows: NDArray[np.int64]) -> float:
        """AUC of the images under one change."""
        size = self.context.recipe.model.image_size

        def view(pixels: Tensor, part: NDArray[np.int64]) -> Tensor:
            return augment.plain(corrupt(pixels, name, SEVERITY, part), size)

        return self.step.metrics(self.context.encode(network, self.images, rows, view), rows)["auc"]
