"""Phase 3 with phase 2's loss kept as a second term: classes and embedding learn together."""

from __future__ import annotations

from torch import nn

from contrastive_cxr.engine import Batch, StepOutput, gather
from contrastive_cxr.phases.context import PhaseContext
from contrastive_cxr.phases.embed import Comparison
from contrastive_cxr.phases.mixing import Mixing
from contrastive_cxr.phases.supervised import ClassStep
from contrastive_cxr.run import seeds


class JointStep:
    """Step of phase 3 whose loss is that of the classes, plus `weight` times phase 2's of the embedding.

    Both come from one pass through the network. The contrastive loss is that of the global batch, on every process; its
    miner, margin and temperature are those of the recipe's section `embed`.

    Parameters
    ----------
    setting : Setting
        Its recipe has a section `embed` with `positives: label`.
    of_classes : ClassStep
        The first term.
    mixing : Mixing
        Makes the pictures; nothing is mixed, which the recipe's checks see to.
    weight : float
        Of the second term, `finetune.contrastive`.
    """

    def __init__(self, context: PhaseContext, of_classes: ClassStep, mixing: Mixing, weight: float) -> None:
        embed = context.recipe.embed
        assert embed is not None, "the recipe's checks refuse finetune.contrastive without a section embed"
        self.context, self.of_classes, self.mixing, self.weight = context, of_classes, mixing, weight
        self.compare = Comparison(context, embed)

    def __call__(self, network: nn.Module, batch: Batch) -> StepOutput:
        """One batch; `class_loss` and `contrastive_loss` are logged beside their sum."""
        embedding, logits = network(self.mixing.pictures(batch), both=True)
        output = self.of_classes.scored(logits, batch)
        everyone = gather(self.context.fabric, embedding)
        seed = seeds.key(self.context.recipe.seed, "finetune", batch.step, "mining")
        contrastive, _ = self.compare(everyone, batch.global_rows, seed)
        values = {"class_loss": output.loss.detach(), "contrastive_loss": contrastive.detach()}
        return StepOutput(output.loss + self.weight * contrastive, values, output.keep)
