"""Phase 1: supervised fine-tuning of the backbone."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from contrastive_cxr.engine import Batch, fit, network_groups, waiting
from contrastive_cxr.phases.context import PhaseContext, Views
from contrastive_cxr.phases.mixing import Mixing
from contrastive_cxr.phases.supervised import ClassStep, epochs_of, point_scores
from contrastive_cxr.phases.validation import Validation


def pretrain(context: PhaseContext) -> Path:
    """Train backbone and classifier on the labels; write the model that the best validation epoch left.

    Returns
    -------
    Path
        The phase's folder: `model.safetensors`, `model.json`, `metrics.jsonl`, `timing.jsonl`, `checkpoints/`.

    Raises
    ------
    RequestError
        The recipe has no such phase, a block that the backbone lacks, or weights that do not fit.
    """
    phase = context.recipe.pretrain
    assert phase is not None, "the caller runs only phases that the recipe has"
    if context.done("pretrain"):
        return context.folder

    # load
    data, images = context.data, context.images()
    train = data.rows("train")

    # prepare
    network = context.build("pretrain", classes=data.classes, hidden=phase.hidden)
    network.train_only(phase.trainable)
    mixing = Mixing(Views(context, "pretrain", phase, images), phase)

    def logits(model: nn.Module, batch: Batch) -> Tensor:
        return model(mixing.pictures(batch))  # type: ignore[no-any-return]

    step = ClassStep(phase, data, context.fabric.device, logits, mixing.draw)

    # fit and evaluate
    spec = context.spec(
        "pretrain",
        phase,
        network,
        parameter_groups=network_groups(network, phase.optimiser, phase.head, head_epochs=phase.head_epochs),
        prepare=waiting(network, phase.head, phase.head_epochs),
        batches=images.follow(
            epochs_of(train, data.labels, phase, context.recipe.seed, "pretrain", data.images.layout)
        ),
        step=step,
        summarise=point_scores,
        validate=Validation(context, step, images, robust=phase.choose_by == "robust_auc"),
        choose_by=phase.choose_by,
        accumulate=phase.accumulate,
    )
    result = fit(context.fabric, spec, resume=context.resume)

    # write
    return context.finish("pretrain", network, result, data.classes)
