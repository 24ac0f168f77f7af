"""The cross-entropy of phases 1 and 3, worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.phases.supervised import CrossEntropy, class_weights, epochs_of
from contrastive_cxr.recipe.schema import Pretrain
from tests.small import small_recipe


def test_balanced_weights_give_each_class_the_same_say() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    weights = class_weights(labels, 3, "balanced").numpy()
    assert weights[labels].mean() == pytest.approx(1)
    said = [weights[labels][labels == label].sum() for label in range(3)]
    np.testing.assert_allclose(said, said[0])
    assert class_weights(labels, 3, "none").tolist() == [1, 1, 1]


def test_the_loss_is_the_smoothed_weighted_mean_over_images(cache: Path) -> None:
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    phase = Pretrain(label_smoothing=0.1, class_weights="balanced")
    step = CrossEntropy(phase, data, torch.device("cpu"), lambda network, batch: torch.empty(0))
    logits, labels = [[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]], [0, 2]
    counts = np.bincount(data.labels[data.rows("train")])
    weights = counts.sum() / (3 * counts)
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        sums = math.log(sum(math.exp(value) for value in row))
        for number, value in enumerate(row):
            target = 0.1 / 3 + 0.9 * (number == label)
            total += target * weights[number] * (sums - value)
    assert step.loss(torch.tensor(logits), torch.tensor(labels)).item() == pytest.approx(total / 2, rel=1e-5)


def test_epochs_are_shuffled_passes_without_a_short_last_batch() -> None:
    rows = np.arange(100, 121)
    first, second = epochs_of(rows, 8, 0, "pretrain")(0), epochs_of(rows, 8, 0, "pretrain")(1)
    assert [len(batch) for batch in first] == [8, 8]
    assert len(set(np.concatenate(first))) == 16
    assert not (np.concatenate(first) == np.concatenate(second)).all()
    assert not (np.concatenate(first) == np.concatenate(epochs_of(rows, 8, 0, "finetune")(0))).all()
    assert [len(batch) for batch in epochs_of(rows, 64, 0, "pretrain")(0)] == [21]
