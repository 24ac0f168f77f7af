"""Cross-entropy training, as phases 1 and 3 do it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from contrastive_cxr.data.batches import shuffled
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Batch, StepOutput
from contrastive_cxr.evaluate import scores
from contrastive_cxr.recipe.schema import Supervised
from contrastive_cxr.run import seeds

Array = NDArray[np.float32]


def class_weights(labels: NDArray[np.int64], classes: int, word: str) -> Tensor:
    """Loss weight of each class, float32 [C], with mean 1 over the images; `balanced`: by inverse frequency."""
    if word == "none":
        return torch.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    return torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)


class CrossEntropy:
    """Step of a supervised phase: views -> logits -> weighted cross-entropy.

    The mean is over images, not over weights, so that the mean over processes is the loss of the whole batch.

    Parameters
    ----------
    logits : callable
        `logits(network, batch) -> float [B, C]`.
    labels : int64 [N]
        Class of every row of the data.
    """

    def __init__(
        self,
        phase: Supervised,
        data: Dataset,
        device: torch.device,
        logits: Callable[[nn.Module, Batch], Tensor],
    ) -> None:
        self.logits = logits
        self.smoothing = phase.label_smoothing
        self.labels = torch.from_numpy(data.labels).to(device)
        train = data.labels[data.rows("train")]
        self.weights = class_weights(train, len(data.classes), phase.class_weights).to(device)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Weighted cross-entropy of float [B, C] against int64 [B], a mean over the images."""
        each = functional.cross_entropy(
            logits.float(), labels, self.weights, reduction="none", label_smoothing=self.smoothing
        )
        return each.mean()

    def __call__(self, network: nn.Module, batch: Batch) -> StepOutput:
        """One batch; the probabilities are kept for the epoch's training metrics."""
        labels = self.labels[torch.from_numpy(batch.rows).to(self.labels.device)]
        logits = self.logits(network, batch)
        keep = {"probabilities": logits.detach().float().softmax(1), "labels": labels}
        return StepOutput(self.loss(logits, labels), keep=keep)

    def metrics(self, logits: Array, rows: NDArray[np.int64]) -> dict[str, float]:
        """Loss and point scores of float32 [n, C] logits of the images `rows`."""
        tensor = torch.from_numpy(logits).to(self.labels.device)
        labels = self.labels[torch.from_numpy(rows).to(self.labels.device)]
        values = point_scores({"probabilities": tensor.softmax(1).cpu().numpy(), "labels": labels.cpu().numpy()})
        return {"loss": self.loss(tensor, labels).item(), **values}


def point_scores(kept: dict[str, NDArray[np.generic]]) -> dict[str, float]:
    """Accuracy, balanced accuracy, precision, recall, F1 (macro) and AUC of `probabilities` [n, C] and `labels` [n]."""
    return scores.point(kept["probabilities"], kept["labels"])


def epochs_of(
    rows: NDArray[np.int64], batch_size: int, seed: int, name: str
) -> Callable[[int], list[NDArray[np.int64]]]:
    """`batches(epoch)`: shuffled passes over `rows`; a last short batch is left out, unless it is the only one."""
    size = min(batch_size, len(rows))

    def batches(epoch: int) -> list[NDArray[np.int64]]:
        return shuffled(rows, size, seeds.numpy_generator(seed, name, epoch, "batches"), drop_last=True)

    return batches
