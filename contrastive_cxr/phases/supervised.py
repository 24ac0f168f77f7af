"""Training on classes, as phases 1 and 3 do it: the step, its scores, and which rows make an epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr.augment import MixDraw
from contrastive_cxr.data.batches import shuffled
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.shards import order
from contrastive_cxr.engine import Batch, StepOutput
from contrastive_cxr.metrics import scores
from contrastive_cxr.models import links
from contrastive_cxr.objectives.classes import LOSSES
from contrastive_cxr.recipe.schema import Supervised
from contrastive_cxr.run import seeds

Array = NDArray[np.float32]
Rows = NDArray[np.int64]


def class_weights(labels: Rows, classes: int, imbalance: str) -> Tensor:
    """Loss weight of each class, float32 [C], with mean 1 over the images; `class-weights`: by inverse frequency."""
    if imbalance != "class-weights":
        return torch.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)


class ClassStep:
    """Step of a supervised phase: views -> class scores -> the recipe's loss, weighted.

    The mean is over images, not over weights, so that the mean over processes is the loss of the whole batch.

    Parameters
    ----------
    logits : callable
        `logits(network, batch) -> float [B, C]`.
    mixed : callable, optional
        `mixed(batch) -> MixDraw | None`: how the pictures of the batch were mixed in pairs. The loss of an image is
        then the share-weighted sum of the losses to the classes of both (Zhang et al., 2018).
    """

    def __init__(
        self,
        phase: Supervised,
        data: Dataset,
        device: torch.device,
        logits: Callable[[nn.Module, Batch], Tensor],
        mixed: Callable[[Batch], MixDraw | None] = lambda batch: None,
    ) -> None:
        self.logits, self.mixed = logits, mixed
        self.kind = LOSSES[phase.loss]
        self.smoothing = phase.label_smoothing
        self.labels = torch.from_numpy(data.labels).to(device)
        train = data.labels[data.rows("train")]
        self.weights = class_weights(train, len(data.classes), phase.imbalance).to(device)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted loss of float [B, C] against int64 [B], a mean over the images."""
        return self.kind.each(logits.float(), labels, self.weights, self.smoothing).mean()

    def __call__(self, network: nn.Module, batch: Batch) -> StepOutput:
        """One batch; the probabilities are kept for the epoch's training metrics.

        Of mixed images these metrics are scored against the class of the larger share: they tell whether the network
        sees what prevails in a picture, and lie below those of plain images.
        """
        return self.scored(self.logits(network, batch), batch)

    def scored(self, logits: Tensor, batch: Batch) -> StepOutput:
        """Loss of float [B, C] logits of the batch's images, and what is kept of them."""
        labels, mix = self.classes(batch.rows), self.mixed(batch)
        keep = {"probabilities": links.probabilities(logits.detach(), self.kind.link), "labels": labels}
        if mix is None:
            return StepOutput(self.loss(logits, labels), keep=keep)
        others = self.classes(batch.global_rows[mix.partner[batch.rank_slice]])
        loss = mix.share * self.loss(logits, labels) + (1 - mix.share) * self.loss(logits, others)
        return StepOutput(loss, keep=keep if mix.share >= 0.5 else {**keep, "labels": others})

    def classes(self, rows: Rows) -> Tensor:
        """Class numbers of some rows, int64 [B] on the device."""
        return self.labels[torch.from_numpy(rows).to(self.labels.device, non_blocking=True)]

    def metrics(self, logits: Array, rows: Rows) -> dict[str, float]:
        """Loss and point scores of float32 [n, C] logits of the images `rows`."""
        tensor = torch.from_numpy(logits).to(self.labels.device)
        labels = self.classes(rows)
        probabilities = links.probabilities(tensor, self.kind.link)
        values = point_scores({"probabilities": probabilities.cpu().numpy(), "labels": labels.cpu().numpy()})
        return {"loss": self.loss(tensor, labels).item(), **values}


def point_scores(kept: dict[str, NDArray[np.generic]]) -> dict[str, float]:
    """Accuracy, balanced accuracy, precision, recall, F1 (macro) and AUC of `probabilities` [n, C] and `labels` [n]."""
    return scores.point(kept["probabilities"], kept["labels"])


def epoch_size(labels: Rows, imbalance: str) -> int:
    """Images of an epoch over training rows of these `labels` int64 [n]."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    if imbalance == "oversample":
        return int(counts.max() * len(counts))
    return int(counts.min() * len(counts)) if imbalance == "undersample" else len(labels)


def epoch_rows(rows: Rows, labels: Rows, imbalance: str, rng: np.random.Generator) -> Rows:
    """The rows of one epoch, a draw of its own.

    `oversample`: as many of each class as the largest has; a class's images come equally often, some once more.
    `undersample`: as many of each class as the smallest has, no image twice.

    Parameters
    ----------
    rows : int64 [n]
        The training rows.
    labels : int64 [N]
        Class numbers of the whole data set, read at `rows`.
    imbalance : str
        The recipe's word; the two others leave the rows as they are.
    rng : numpy Generator
        Only source of the draw.

    Returns
    -------
    int64 [`epoch_size`]
    """
    if imbalance not in ("oversample", "undersample"):
        return rows
    own = labels[rows]
    wanted = epoch_size(own, imbalance) // len(np.unique(own))
    parts = [drawn(rows[own == label], wanted, rng) for label in np.unique(own)]
    return np.concatenate(parts)


def drawn(rows: Rows, count: int, rng: np.random.Generator) -> Rows:
    """`count` of `rows`: all of them as often as they go in, then a draw without repetition, int64 [count]."""
    whole, rest = divmod(count, len(rows))
    return np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]])


def epoch_counts(labels: Rows, imbalance: str) -> dict[int, int]:
    """Images of each class in an epoch over training rows of these `labels` int64 [n]."""
    kinds, counts = np.unique(labels, return_counts=True)
    each = {"oversample": counts.max(), "undersample": counts.min()}.get(imbalance)
    wanted = counts if each is None else np.full(len(counts), each)
    return dict(zip(kinds.tolist(), wanted.tolist(), strict=True))


def epochs_of(
    rows: Rows, labels: Rows, phase: Supervised, seed: int, name: str, layout: order.Layout | None = None
) -> Callable[[int], list[Rows]]:
    """`batches(epoch)`: shuffled passes; a last short batch is left out, unless it is the only one.

    Parameters
    ----------
    rows : int64 [n]
        The training rows.
    labels : int64 [N]
        Class numbers of the whole data set.
    phase : schema.Supervised
        Its `batch_size` and `imbalance`.
    seed, name
        Of the recipe and of the phase: with the epoch they are the key of the draws.
    layout : Layout, optional
        Where the rows lie in shards. A buffer that holds all of them draws as from memory.
    """
    size = min(phase.batch_size, epoch_size(labels[rows], phase.imbalance))

    def batches(epoch: int) -> list[Rows]:
        if layout is not None and not layout.holds(rows):
            rng = seeds.numpy_generator(seed, name, epoch, "batches")
            return order.uniform(rows, labels, epoch_counts(labels[rows], phase.imbalance), size, layout, rng)
        rng = seeds.numpy_generator(seed, name, epoch, "imbalance")
        chosen = epoch_rows(rows, labels, phase.imbalance, rng)
        return shuffled(chosen, size, seeds.numpy_generator(seed, name, epoch, "batches"), drop_last=True)

    return batches
