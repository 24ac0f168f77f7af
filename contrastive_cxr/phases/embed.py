"""Phase 2: contrastive training of the embedding."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr import augment, objectives
from contrastive_cxr.data.batches import balanced, shuffled
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.shards import order
from contrastive_cxr.engine import Batch, StepOutput, fit, gather, network_groups
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.models import Network
from contrastive_cxr.phases.context import PhaseContext, Views
from contrastive_cxr.recipe.schema import Embed
from contrastive_cxr.run import seeds

Rows = NDArray[np.int64]
logger = logging.getLogger(__name__)
VALIDATION_BATCH = 64  # images compared with each other in the validation loss


def embed(context: PhaseContext) -> Path:
    """Remove the classifier, train the projection and the named blocks so that similar images lie close.

    With `positives: augmented` the pair is (image, another augmentation of it, `positive_augment`): no label is read,
    in batches, loss or choice.

    Returns
    -------
    Path
        The phase's folder: `model.safetensors`, `model.json`, `metrics.jsonl`, `timing.jsonl`, `checkpoints/`.

    Raises
    ------
    RequestError
        The recipe has no such phase, a block that the backbone lacks, or more classes or images a batch than there are.
    """
    phase = context.recipe.embed
    assert phase is not None, "the caller runs only phases that the recipe has"
    if context.done("embed"):
        return context.folder

    # load
    data = context.data

    # prepare
    network = context.build("embed", projection=phase.projection)
    network.train_only(phase.trainable)
    step = ContrastiveStep(context, phase)
    validation = Validation(context, phase, step)

    # fit and evaluate
    spec = context.spec(
        "embed",
        phase,
        network,
        objective=step.compare.objective,
        parameter_groups=network_groups(network, phase.optimiser, phase.head),
        batches=step.images.follow(lambda epoch: epoch_batches(phase, data, context.recipe.seed, epoch)),
        step=step,
        validate=validation,
        choose_by=phase.choose_by,
        on_epoch=lambda epoch, metrics: warn_on_collapse(epoch, metrics, phase),
    )
    result = fit(context.fabric, spec, resume=context.resume)

    # write
    if phase.discard_projection:
        network.discard_projection()
    return context.finish("embed", network, result)


def identities(phase: Embed, data: Dataset) -> NDArray[np.int64]:
    """What makes two rows alike, int64 [N]: their class, or without labels the image itself."""
    return data.labels if phase.uses_labels else np.arange(len(data.labels))


def epoch_batches(phase: Embed, data: Dataset, seed: int, epoch: int) -> list[Rows]:
    """The epoch's batches of anchors: P classes x K images, or uniform where no label is used."""
    rows, layout = data.rows("train"), data.images.layout
    if layout is not None and not layout.holds(rows):
        return from_shards(phase, data, layout, seed, epoch)
    steps = phase.epoch_steps(len(rows), len(data.classes))
    if phase.uses_labels:
        rng = seeds.numpy_generator(seed, "embed", epoch, "batches")
        classes = phase.classes_per_batch or len(data.classes)
        return balanced(rows, data.labels, classes, phase.images_per_class, steps, rng)
    size = min(phase.batch_size, len(rows))
    batches: list[Rows] = []
    while len(batches) < steps:
        rng = seeds.numpy_generator(seed, "embed", epoch, "batches", len(batches))
        batches += shuffled(rows, size, rng, drop_last=True)
    return batches[:steps]


def from_shards(phase: Embed, data: Dataset, layout: order.Layout, seed: int, epoch: int) -> order.Epoch:
    """As `epoch_batches`, where the buffer does not hold all training images."""
    rows = data.rows("train")
    steps = phase.epoch_steps(len(rows), len(data.classes))
    rng = seeds.numpy_generator(seed, "embed", epoch, "batches")
    if phase.uses_labels:
        return order.balanced(rows, data.labels, phase.classes_per_batch, phase.images_per_class, steps, layout, rng)
    size = min(phase.batch_size, len(rows))
    passes = order.Epoch([], rows[:0])
    while len(passes) < steps:
        passes += order.uniform(rows, np.zeros_like(data.labels), {0: len(rows)}, size, layout, rng)
    return order.Epoch(passes[:steps], passes.held)


class Comparison:
    """Miner and loss on the embeddings of some images, who their identities and patients say belong together."""

    def __init__(self, context: PhaseContext, phase: Embed) -> None:
        data, device = context.data, context.fabric.device
        self.objective = objectives.build(phase)
        self.identities = torch.from_numpy(identities(phase, data)).to(device)
        self.patients = torch.from_numpy(data.patients).to(device)

    def __call__(self, vectors: Tensor, rows: Rows, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its words for vectors [V * B, D], V views of the images `rows` one after the other."""
        index = torch.from_numpy(rows).to(vectors.device, non_blocking=True).repeat(len(vectors) // len(rows))
        loss, values = self.objective(vectors, self.identities[index], self.patients[index], seed)
        return loss, values


class ContrastiveStep:
    """Step of phase 2: views -> embeddings of all processes -> miner and loss."""

    def __init__(self, context: PhaseContext, phase: Embed) -> None:
        self.context, self.phase, self.images = context, phase, context.images()
        self.views = Views(context, "embed", phase, self.images)
        self.compare = Comparison(context, phase)

    def __call__(self, network: nn.Module, batch: Batch) -> StepOutput:
        """One batch; the loss is that of the global batch, on every process."""
        views = [self.views(batch, self.phase.augment, "augment")]
        if self.phase.views > 1:
            views.append(self.views(batch, self.phase.positive_augment, "positive"))
        vectors = network(torch.cat(views)).chunk(len(views))
        everyone = torch.cat([gather(self.context.fabric, part) for part in vectors])
        seed = seeds.key(self.context.recipe.seed, "embed", batch.step, "mining")
        loss, values = self.compare(everyone, batch.global_rows, seed)
        return StepOutput(loss, values)


class Validation:
    """Validation of phase 2: the loss on fixed views; where labels may be used, the neighbours too."""

    def __init__(self, context: PhaseContext, phase: Embed, step: ContrastiveStep) -> None:
        self.context, self.phase, self.step = context, phase, step
        self.rows = context.data.rows("val")

    def __call__(self, network: nn.Module, epoch: int) -> dict[str, float]:
        """`loss` and `spread`, and with labels `map_at_r` and `knn_accuracy` of validation among itself."""
        del epoch
        plain = self.context.encode(network, self.step.images, self.rows)
        values = self.losses(network, plain)
        if self.phase.uses_labels:
            values |= self.neighbours(self.features(network) if self.phase.discard_projection else plain)
        return values

    def features(self, network: nn.Module) -> NDArray[np.float32]:
        """The backbone's features of the validation images, float32 [n, C]: the embedding without the projection."""
        assert isinstance(network, Network), "the engine validates the network itself, not wrapped"
        return self.context.encode(network, self.step.images, self.rows, function=network.features)

    def neighbours(self, vectors: NDArray[np.float32]) -> dict[str, float]:
        """MAP@R and vote of the validation images among each other."""
        data = self.context.data
        labels, patients = data.labels[self.rows], data.patients[self.rows]
        found = neighbours.scores(
            vectors, labels, vectors, labels, gallery_ids=self.rows, query_ids=self.rows,
            gallery_patients=patients, query_patients=patients, vote=min(20, max(1, len(labels) // 4)),
        )  # fmt: skip
        each = {name: found.values[name]["value"] for name in ("map_at_r", "knn_accuracy")}
        return {name: math.nan if value is None else value for name, value in each.items()}

    def losses(self, network: nn.Module, plain: NDArray[np.float32]) -> dict[str, float]:
        """Mean loss and spread over fixed batches, with fixed views where positives are augmentations."""
        seed = seeds.key(self.context.recipe.seed, "embed", "validation")
        views = [plain] if self.phase.views == 1 else [plain, self.positives(network, seed)]
        order = np.random.default_rng(seed).permutation(len(self.rows))
        found: list[dict[str, float]] = []
        training = self.step.compare.objective.training
        self.step.compare.objective.eval()  # the memory of past batches is neither read nor moved
        for number, part in enumerate(np.array_split(order, max(1, len(order) // VALIDATION_BATCH))):
            vectors = torch.from_numpy(np.concatenate([view[part] for view in views])).to(self.context.fabric.device)
            loss, words = self.step.compare(vectors, self.rows[part], seeds.key(seed, number))
            found.append({"loss": loss.item(), "spread": float(words["spread"])})
        self.step.compare.objective.train(training)
        return {name: float(np.mean([values[name] for values in found])) for name in ("loss", "spread")}

    def positives(self, network: nn.Module, seed: int) -> NDArray[np.float32]:
        """Embeddings of one positive view of each validation image, the same view every time."""
        size = self.context.recipe.model.image_size
        draws = augment.draw(augment.resolve(self.phase.positive_augment), len(self.rows), seed)
        place = np.searchsorted(self.rows, np.arange(len(self.context.data)))

        def view(pixels: Tensor, rows: Rows) -> Tensor:
            return augment.apply(pixels, size, draws[torch.from_numpy(place[rows])])

        return self.context.encode(network, self.step.images, self.rows, view)


def warn_on_collapse(epoch: int, metrics: dict[str, dict[str, float]], phase: Embed) -> None:
    """Say in plain words that the embedding collapsed, or that an epoch had no triplet."""
    words = objectives.health.words(metrics["train"], phase)
    if words:
        logger.warning("embed, epoch %d: %s", epoch + 1, words)
