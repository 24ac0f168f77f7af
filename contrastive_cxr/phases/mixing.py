"""Pictures of a supervised phase, mixed in pairs where the recipe says so; one process or several see the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from contrastive_cxr import augment
from contrastive_cxr.engine import Batch
from contrastive_cxr.phases.context import Views, input_size
from contrastive_cxr.recipe.schema import Supervised
from contrastive_cxr.run import seeds


@dataclass(frozen=True)
class Mixing:
    """Augmented views of a batch's images, mixed with those of their partners.

    A partner is the picture that the global batch has of that image, with the same augmentation. Where a process holds
    a part of the batch, it makes the partners' pictures itself, of their own rows and draws: twice the work of the
    augmentation, and nothing is sent between processes.
    """

    views: Views
    phase: Supervised

    def draw(self, batch: Batch) -> augment.MixDraw | None:
        """How this batch is mixed, by a draw of its key (seed, phase, step, `mix`); None where it is not."""
        if not self.phase.mix.on:
            return None
        recipe, mix = self.views.context.recipe, self.phase.mix
        size = input_size(self.phase, recipe.model.image_size, batch.epoch)
        rng = seeds.numpy_generator(recipe.seed, self.views.name, batch.step, "mix")
        return augment.draw_mix(mix.mixup, mix.cutmix, mix.probability, len(batch.global_rows), size, rng)

    def pictures(self, batch: Batch) -> Tensor:
        """What the network sees: float32 [B, 1, S, S] in 0..1."""
        own = self.views(batch, self.phase.augment, "augment")
        drawn = self.draw(batch)
        if drawn is None:
            return own
        places = torch.from_numpy(drawn.partner[batch.rank_slice])
        if len(batch.rows) == len(batch.global_rows):
            partners = own[places.to(own.device, non_blocking=True)]
        else:
            partners = self.views(batch, self.phase.augment, "augment", places)
        return augment.mix(own, partners, drawn)
