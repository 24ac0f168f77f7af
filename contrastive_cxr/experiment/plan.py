"""What a run would do: the answer to `--dry-run`. Nothing is trained or written but the cache of decoded images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from contrastive_cxr import models
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.experiment.prepare import check_weights, present, second_door, steps
from contrastive_cxr.phases import PhaseName
from contrastive_cxr.recipe.schema import Embed, Recipe


@dataclass(frozen=True)
class PhasePlan:
    """One phase: steps of an epoch, images of a step, and (block, trainable parameters, all parameters)."""

    name: PhaseName
    epochs: int
    steps_per_epoch: int
    batch: int
    blocks: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Plan:
    """A resolved recipe and what it comes to.

    Attributes
    ----------
    counts : list of dict
        Images of each split and class.
    """

    recipe: Recipe
    counts: list[dict[str, Any]]
    phases: tuple[PhasePlan, ...]


def plan(recipe: Recipe, only: Sequence[PhaseName] | None = None) -> Plan:
    """Pass both doors and say what would be trained.

    Raises
    ------
    RequestError
        Whatever a run would refuse before training.
    """
    order = tuple(only) if only else present(recipe)
    data = open_dataset(recipe.data, recipe.task)
    second_door(recipe, data, order)
    if recipe.model.weights != "imagenet":  # a plan downloads nothing
        check_weights(recipe)
    counts = data.describe().reset_index().to_dict("records")
    return Plan(
        recipe,
        [{str(key): value for key, value in row.items()} for row in counts],
        tuple(phase_plan(recipe, data, name) for name in order),
    )


def phase_plan(recipe: Recipe, data: Dataset, name: PhaseName) -> PhasePlan:
    """One phase's steps and blocks; the network is built on the meta device."""
    phase = getattr(recipe, name)
    projection = () if name == "pretrain" else (recipe.embed or Embed()).projection
    classes = 0 if name == "embed" else len(data.classes)
    hidden = () if name == "embed" else phase.hidden
    with torch.device("meta"):
        network = models.build(
            recipe.model, projection=projection, classes=classes, hidden=hidden, mean=data.mean, std=data.std, seed=0
        )
    network.train_only(phase.trainable)
    per_epoch, batch = steps(recipe, data, name)
    return PhasePlan(name, phase.epochs, per_epoch, batch, tuple(network.describe()))
