"""The pre-flight check: can the first supervised phase learn one small batch by heart?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr import augment, engine, models
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.objectives.classes import LOSSES, ClassLoss
from contrastive_cxr.recipe.schema import Pretrain, Recipe
from contrastive_cxr.run import seeds

LEARNED = 0.05  # nats: every image's class has a probability near 0.95; of a hinge, nearly all margins are kept


@dataclass(frozen=True)
class Overfit:
    """What came of it: steps taken, first and last loss (nats), last accuracy, and whether the batch was learned."""

    steps: int
    first_loss: float
    loss: float
    accuracy: float
    learned: bool

    def words(self, images: int) -> str:
        """The outcome in one sentence."""
        what = f"loss {self.first_loss:.3f} -> {self.loss:.3f}, accuracy {self.accuracy:.2f} after {self.steps} steps"
        if self.learned:
            return f"{images} images were learned by heart: {what}."
        return (
            f"{images} images could NOT be learned by heart: {what}. Look at the learning rate, the trainable blocks "
            "and whether the labels can be right."
        )


def overfit(recipe: Recipe, images: int, *, steps: int = 200) -> Overfit:
    """Train on one batch of `images` training images, without augmentation or smoothing, until it is learned.

    Parameters
    ----------
    images : int
        Batch size, 2 or more; divided over the classes as evenly as they allow.
    steps : int
        Most steps that are tried.

    Raises
    ------
    RequestError
        No supervised phase in the recipe, or fewer training images than asked for.
    """
    phase = recipe.pretrain or recipe.finetune
    if phase is None:
        raise RequestError("--overfit needs a supervised phase (pretrain or finetune) in the recipe")
    data = open_dataset(recipe.data, recipe.task)
    rows = one_batch(data, images, recipe.seed)
    fabric = engine.launch(recipe.runtime)
    network = models.build(
        recipe.model,
        classes=len(data.classes),
        hidden=phase.hidden,
        mean=data.mean,
        std=data.std,
        seed=seeds.key(recipe.seed, "overfit"),
    )
    weights.start(network, recipe.model.weights, recipe.model.stem)
    network.train_only(phase.trainable if isinstance(phase, Pretrain) else None)
    groups = engine.network_groups(network, phase.optimiser, phase.head)
    wrapped, optimiser = fabric.setup(network, engine.make_optimiser(groups, phase.optimiser))
    pictures = augment.plain(Images(data.images, fabric.device).take(rows), recipe.model.image_size)
    labels = torch.from_numpy(data.labels[rows]).to(fabric.device)
    return _train(fabric, wrapped, optimiser, pictures, labels, LOSSES[phase.loss], steps)


def _train(
    fabric: Fabric, network: nn.Module, optimiser: torch.optim.Optimizer, pictures: Tensor, labels: Tensor,
    kind: ClassLoss, steps: int,
) -> Overfit:  # fmt: skip
    """Step on the one batch until it is learned, at most `steps` times."""
    losses: list[float] = []
    accuracy = 0.0
    for _ in range(steps):
        network.train()
        logits = network(pictures).float()
        loss = kind.each(logits, labels, torch.ones(logits.shape[1], device=logits.device), 0.0).mean()
        optimiser.zero_grad()
        fabric.backward(loss)
        optimiser.step()
        losses.append(loss.item())
        accuracy = float((logits.argmax(1) == labels).float().mean())
        if (losses[-1] < LEARNED and accuracy == 1.0) or not math.isfinite(losses[-1]):
            break
    return Overfit(len(losses), losses[0], losses[-1], accuracy, losses[-1] < LEARNED and accuracy == 1.0)


def one_batch(data: Dataset, images: int, seed: int) -> NDArray[np.int64]:
    """`images` training rows, the classes in turn."""
    train = data.rows("train")
    if not 2 <= images <= len(train):
        raise RequestError(f"--overfit {images}: from 2 to the {len(train)} training images")
    order = seeds.numpy_generator(seed, "overfit", "rows").permutation(train)
    place = nth_of_its_class(data.labels[order])
    return np.sort(order[np.argsort(place, kind="stable")][:images])


def nth_of_its_class(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of a label came before it, for each place."""
    counts: dict[int, int] = {}
    ranks = []
    for label in labels.tolist():
        ranks.append(counts.get(label, 0))
        counts[label] = ranks[-1] + 1
    return np.array(ranks)
