"""Phase 3 with phase 2's loss kept as a second term: classes and embedding learn together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrastive_cxr.engine import Batch, StepOutput, gather
from contrastive_cxr.phases.embed import ContrastiveStep
from contrastive_cxr.phases.mixing import Mixing
from contrastive_cxr.phases.setting import Setting
from contrastive_cxr.phases.supervised import ClassStep
from contrastive_cxr.recipe.schema import Finetune
from contrastive_cxr.run import seeds


class JointStep(ClassStep):
    """Step of phase 3 whose loss is that of the classes, plus `finetune.contrastive` times phase 2's of the embedding.

    Both come from one pass through the network. The contrastive loss is that of the global batch, on every process; its
    miner, margin and temperature are those of the recipe's section `embed`.

    Parameters
    ----------
    setting : Setting
        Its recipe has a section `embed` with `positives: label`.
    phase : schema.Finetune
    mixing : Mixing
        Makes the pictures; nothing is mixed, which the recipe's checks see to.
    """

    def __init__(self, setting: Setting, phase: Finetune, mixing: Mixing) -> None:
        embed = setting.recipe.embed
        assert embed is not None, "the recipe's checks refuse finetune.contrastive without a section embed"
        super().__init__(phase, setting.data, setting.fabric.device, self._logits)
        self.setting, self.weight, self.mixing = setting, phase.contrastive, mixing
        self.contrastive = ContrastiveStep(setting, embed)

    def _logits(self, network: nn.Module, batch: Batch) -> Tensor:
        return network(self.mixing.pictures(batch))  # type: ignore[no-any-return]

    def __call__(self, network: nn.Module, batch: Batch) -> StepOutput:
        """One batch; `class_loss` and `contrastive_loss` are logged beside their sum."""
        embedding, logits = network(self.mixing.pictures(batch), both=True)
        of_classes = self.scored(logits, batch)
        everyone = gather(self.setting.fabric, embedding)
        seed = seeds.key(self.setting.recipe.seed, "finetune", batch.step, "mining")
        contrastive, _ = self.contrastive.compare(everyone, batch.global_rows, seed)
        values = {"class_loss": of_classes.loss.detach(), "contrastive_loss": contrastive.detach()}
        return StepOutput(of_classes.loss + self.weight * contrastive, values, of_classes.keep)

    @property
    def objective(self) -> torch.nn.Module:
        """What has a state besides the network: the cross-batch memory."""
        return self.contrastive.objective
