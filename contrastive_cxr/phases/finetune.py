"""Phase 3: a classifier head on the embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr.data.batches import Images
from contrastive_cxr.engine import Batch, FitSpec, encode, fit, network_groups, parameter_groups, waiting
from contrastive_cxr.models import Network, weights
from contrastive_cxr.phases.context import PhaseContext, Views
from contrastive_cxr.phases.joint import JointStep
from contrastive_cxr.phases.mixing import Mixing
from contrastive_cxr.phases.supervised import ClassStep, epochs_of, point_scores
from contrastive_cxr.phases.validation import Validation
from contrastive_cxr.recipe.schema import Finetune


def finetune(context: PhaseContext) -> Path:
    """Train a linear layer (or a small MLP) on the embedding, with the named blocks thawed.

    With a frozen encoder and no augmentation the vectors of all images are computed once, for the head to learn from.

    Returns
    -------
    Path
        The phase's folder: `model.safetensors`, `model.json`, `metrics.jsonl`, `timing.jsonl`, `checkpoints/`.

    Raises
    ------
    RequestError
        The recipe has no such phase, a block that the backbone lacks, or a start that does not fit.
    """
    phase = context.recipe.finetune
    assert phase is not None, "the caller runs only phases that the recipe has"
    if context.done("finetune"):
        return context.folder

    # load
    data, images = context.data, context.images()

    # prepare
    network = context.build("finetune", projection=projection(context), classes=data.classes, hidden=phase.hidden)
    network.train_only(phase.trainable)
    make = head_spec if phase.on_vectors else network_spec

    # fit and evaluate
    result = fit(context.fabric, make(context, phase, network, images), resume=context.resume)

    # write
    return context.finish("finetune", network, result, data.classes)


def projection(context: PhaseContext) -> tuple[int, ...]:
    """Widths of the projection below the head: as in the model that the phase starts from, else as in the recipe."""
    if context.start is not None:
        return tuple(weights.load(context.start)[1]["projection"])
    return context.recipe.embed.kept_projection if context.recipe.embed else ()


def network_spec(context: PhaseContext, phase: Finetune, network: Network, images: Images) -> FitSpec:
    """Orders for training head and thawed blocks together on augmented images."""
    mixing = Mixing(Views(context, "finetune", phase, images), phase)
    train = context.data.rows("train")

    def logits(model: nn.Module, batch: Batch) -> Tensor:
        return model(mixing.pictures(batch))  # type: ignore[no-any-return]

    step = ClassStep(phase, context.data, context.fabric.device, logits, mixing.draw)
    joint = JointStep(context, step, mixing, phase.contrastive) if phase.contrastive else None
    return context.spec(
        "finetune",
        phase,
        network,
        objective=joint.compare.objective if joint else None,
        parameter_groups=groups(phase, network),
        prepare=waiting(network, phase.head, phase.head_epochs),
        batches=images.follow(
            epochs_of(train, context.data.labels, phase, context.recipe.seed, "finetune", context.data.images.layout)
        ),
        step=joint or step,
        summarise=point_scores,
        validate=Validation(context, step, images, robust=phase.choose_by == "robust_auc"),
        choose_by=phase.choose_by,
        accumulate=phase.accumulate,
    )


def groups(phase: Finetune, network: Network) -> list[dict[str, Any]]:
    """Head and thawed blocks, each at its rate; without rates by layer in the order of earlier checkpoints."""
    optimiser = phase.optimiser
    if optimiser.layer_decay < 1 or optimiser.head_lr is not None or phase.head_epochs:
        return network_groups(
            network, optimiser, phase.head, backbone_lr=phase.backbone_lr, head_epochs=phase.head_epochs
        )
    blocks = network.blocks()
    thawed = [module for name, modules in blocks.items() if name != phase.head for module in modules]
    return [*parameter_groups(blocks[phase.head], optimiser), *parameter_groups(thawed, optimiser, phase.backbone_lr)]


def head_spec(context: PhaseContext, phase: Finetune, network: Network, images: Images) -> FitSpec:
    """Orders for training the head alone, on vectors computed once; the rest of the network stays as it is."""
    data, device = context.data, context.fabric.device
    train, val = data.rows("train"), data.rows("val")
    rows = np.concatenate([train, val])
    table = torch.from_numpy(vectors(context, network, images, rows)).to(device)
    place = np.full(len(data), -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))

    def logits(head: nn.Module, batch: Batch) -> Tensor:
        return head(table[torch.from_numpy(place[batch.rows]).to(device, non_blocking=True)])  # type: ignore[no-any-return]

    def load(part: NDArray[np.int64]) -> Tensor:
        return table[torch.from_numpy(place[part]).to(device)]

    step = ClassStep(phase, data, device, logits)
    head = network.classifier
    assert head is not None, "phase 3 builds a classifier"
    return context.spec(
        "finetune",
        phase,
        head,
        parameter_groups=parameter_groups([head], phase.optimiser, phase.optimiser.head_lr),
        batches=epochs_of(train, data.labels, phase, context.recipe.seed, "finetune"),
        step=step,
        summarise=point_scores,
        validate=lambda model, epoch: step.metrics(
            encode(context.fabric, model, val, len(val), load, network=model), val
        ),
        choose_by=phase.choose_by,
        accumulate=phase.accumulate,
    )


def vectors(context: PhaseContext, network: Network, images: Images, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embeddings (without a projection: features) of the plain images of `rows`, float32 [n, D]."""
    function = network.features if network.projection is None else network.embed
    return context.encode(network.to(context.fabric.device), images, rows, function=function)
