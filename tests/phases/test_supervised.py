"""The step and the epochs of phases 1 and 3, worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.engine import Batch
from contrastive_cxr.phases.supervised import ClassStep, class_weights, epoch_rows, epoch_size, epochs_of
from contrastive_cxr.recipe.schema import Pretrain
from tests.small import small_recipe


def test_balanced_weights_give_each_class_the_same_say() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    weights = class_weights(labels, 3, "class-weights").numpy()
    assert weights[labels].mean() == pytest.approx(1)
    said = [weights[labels][labels == label].sum() for label in range(3)]
    np.testing.assert_allclose(said, said[0])
    assert class_weights(labels, 3, "none").tolist() == class_weights(labels, 3, "oversample").tolist() == [1, 1, 1]


def test_the_loss_is_the_smoothed_weighted_mean_over_images(cache: Path) -> None:
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    phase = Pretrain(label_smoothing=0.1, imbalance="class-weights")
    step = ClassStep(phase, data, torch.device("cpu"), lambda network, batch: torch.empty(0))
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


@pytest.mark.parametrize("loss", ["bce", "hinge"])
def test_probabilities_of_the_metrics_are_those_of_the_loss(cache: Path, loss: str) -> None:
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    logits = np.random.default_rng(0).normal(size=(len(data), 3)).astype(np.float32)
    step = ClassStep(
        Pretrain(loss=loss, imbalance="class-weights"),  # type: ignore[arg-type]
        data,
        torch.device("cpu"),
        lambda network, batch: torch.from_numpy(logits[batch.rows]),
    )
    rows = data.rows("train")
    output = step(torch.nn.Identity(), Batch(rows, rows, 0, 0, slice(0, len(rows))))
    shares = 1 / (1 + np.exp(-logits[rows] * (2 if loss == "hinge" else 1)))
    expected = shares / shares.sum(1, keepdims=True)
    np.testing.assert_allclose(output.keep["probabilities"].numpy(), expected, rtol=1e-5)
    assert step.metrics(logits[rows], rows)["loss"] == pytest.approx(output.loss.item())


IMBALANCED = np.repeat([0, 1, 2], [4, 9, 21])


def test_oversampling_brings_each_class_up_to_the_largest_and_shows_every_image() -> None:
    rows = np.arange(len(IMBALANCED))
    drawn = epoch_rows(rows, IMBALANCED, "oversample", np.random.default_rng(0))
    assert np.bincount(IMBALANCED[drawn]).tolist() == [21, 21, 21]
    assert len(drawn) == epoch_size(IMBALANCED, "oversample") == 63
    times = np.bincount(drawn)
    for label in range(3):
        own = times[label == IMBALANCED]
        assert own.min() >= 1
        assert own.max() - own.min() <= 1


def test_undersampling_takes_each_class_down_to_the_smallest() -> None:
    rows = np.arange(len(IMBALANCED))
    drawn = epoch_rows(rows, IMBALANCED, "undersample", np.random.default_rng(0))
    assert np.bincount(IMBALANCED[drawn]).tolist() == [4, 4, 4]
    assert len(drawn) == epoch_size(IMBALANCED, "undersample") == len(set(drawn)) == 12


@pytest.mark.parametrize("imbalance", ["none", "class-weights"])
def test_the_others_leave_the_rows_alone(imbalance: str) -> None:
    rows = np.arange(3, 20)
    assert (epoch_rows(rows, IMBALANCED, imbalance, np.random.default_rng(0)) == rows).all()
    assert epoch_size(IMBALANCED[rows], imbalance) == 17


def test_a_class_without_rows_is_no_smallest_class() -> None:
    assert epoch_size(np.array([0, 0, 2]), "undersample") == 2
    drawn = epoch_rows(np.arange(3), np.array([0, 0, 2]), "undersample", np.random.default_rng(0))
    assert sorted(np.array([0, 0, 2])[drawn]) == [0, 2]


@pytest.mark.parametrize("imbalance", ["oversample", "undersample"])
def test_each_epoch_draws_anew_from_its_key(imbalance: str) -> None:
    phase = Pretrain(batch_size=3, imbalance=imbalance)  # type: ignore[arg-type]
    rows = np.arange(len(IMBALANCED))
    batches, again = (epochs_of(rows, IMBALANCED, phase, 7, "pretrain") for _ in range(2))
    size = epoch_size(IMBALANCED, imbalance)
    assert [len(batch) for batch in batches(0)] == [3] * (size // 3)
    assert all((a == b).all() for a, b in zip(batches(2), again(2), strict=True))
    sets = [tuple(np.sort(np.concatenate(batches(epoch)))) for epoch in range(4)]
    assert len(set(sets)) == 4


def test_epochs_are_shuffled_passes_without_a_short_last_batch() -> None:
    rows = np.arange(100, 121)
    labels, phase = np.zeros(200, dtype=np.int64), Pretrain(batch_size=8)
    batches = epochs_of(rows, labels, phase, 0, "pretrain")
    first, second = batches(0), batches(1)
    assert [len(batch) for batch in first] == [8, 8]
    assert len(set(np.concatenate(first))) == 16
    assert not (np.concatenate(first) == np.concatenate(second)).all()
    assert not (np.concatenate(first) == np.concatenate(epochs_of(rows, labels, phase, 0, "finetune")(0))).all()
    large = Pretrain(batch_size=64)
    assert [len(batch) for batch in epochs_of(rows, labels, large, 0, "pretrain")(0)] == [21]
