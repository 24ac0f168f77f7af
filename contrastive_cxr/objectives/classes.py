"""The losses of the supervised phases: an image's loss from its class scores.

A new loss is a function here and its line in `LOSSES`, and its word in `recipe.schema.LossName`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class ClassLoss:
    """A loss over classes.

    Attributes
    ----------
    each : callable
        `each(scores float32 [B, C], labels int64 [B], weights float32 [C], smoothing) -> float32 [B]`, an image's loss.
    link : str
        How its scores become probabilities, a word of `models.links`.
    """

    each: Callable[[Tensor, Tensor, Tensor, float], Tensor]
    link: str


def cross_entropy(scores: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Softmax and cross-entropy; the weight of each class weighs its own term, as torch has it."""
    return functional.cross_entropy(scores, labels, weights, reduction="none", label_smoothing=smoothing)


def bce(scores: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """A sigmoid a class against the rest: the mean binary cross-entropy over the classes.

    Weighted by the image's class. With smoothing s each class's target is 1 - s/2 or s/2.
    """
    targets = functional.one_hot(labels, scores.shape[1]).to(scores.dtype) * (1 - smoothing) + smoothing / 2
    means = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none").mean(dim=1)
    return means * weights[labels]


def hinge(scores: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """max(0, 1 - t s) with targets t of +1 (the image's class) and -1, the mean over the classes.

    Cortes and Vapnik, 1995; one-vs-rest as in Rifkin and Klautau, 2004. With two classes it is the mean of two binary
    machines. Weighted by the image's class.
    """
    return _slack(scores, labels, smoothing).mean(dim=1) * weights[labels]


def squared_hinge(scores: Tensor, labels: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """max(0, 1 - t s)^2, otherwise as `hinge` (the L2 machine: Tang, 2013, uses it in networks)."""
    return _slack(scores, labels, smoothing).square().mean(dim=1) * weights[labels]


def _slack(scores: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """How far each score [B, C] falls short of its side of the margin, 0 where it does not."""
    assert smoothing == 0, "recipe.checks refuses a hinge loss with soft labels"
    targets = functional.one_hot(labels, scores.shape[1]).to(scores.dtype) * 2 - 1
    return (1 - targets * scores).clamp(min=0)


LOSSES: dict[str, ClassLoss] = {
    "cross-entropy": ClassLoss(cross_entropy, "softmax"),
    "bce": ClassLoss(bce, "sigmoid"),
    "hinge": ClassLoss(hinge, "margin"),
    "squared-hinge": ClassLoss(squared_hinge, "margin"),
}
