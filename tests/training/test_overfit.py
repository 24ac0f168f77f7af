"""The pre-flight check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models.network import Network
from contrastive_cxr.training.overfit import alone, one_batch, overfit
from tests.small import small_recipe


def test_a_batch_is_learned_by_heart_in_both_phases(cache: Path) -> None:
    first, second = overfit(small_recipe(cache, "embed.positives=label"), 8)
    assert (first.phase, second.phase) == ("pretrain", "embed")
    assert first.learned
    assert first.score == 1
    assert first.loss < 0.05 < first.first_loss
    assert "pretrain: 8 images were learned by heart" in first.words(8)
    assert second.learned
    assert second.score == pytest.approx(1)


def test_a_rate_that_teaches_nothing_is_said(cache: Path) -> None:
    rates = ("pretrain.optimiser.lr=1.0e-9", "embed.optimiser.lr=1.0e-9", "embed.positives=augmented")
    first, second = overfit(small_recipe(cache, *rates, "embed.choose_by=loss"), 8, steps=20)
    assert not first.learned
    assert first.steps == 20
    assert "could NOT be learned" in first.words(8)
    assert not second.learned
    assert "MAP@R" not in second.words(8)


def test_the_network_normalises_as_the_recipe_says(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[float, float]] = []
    forward = Network.forward

    def noted(self: Network, *images: torch.Tensor, **more: bool) -> object:
        found.append((round(float(self.mean), 4), round(float(self.std), 4)))
        return forward(self, *images, **more)

    monkeypatch.setattr(Network, "forward", noted)
    overfit(small_recipe(cache, "model.normalise=half", "embed=null", "finetune=null"), 6, steps=20)
    assert set(found) == {(0.5, 0.5)}


def test_the_batch_has_the_classes_in_turn(cache: Path) -> None:
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    rows = one_batch(data, 8, seed=0)
    assert sorted(np.bincount(data.labels[rows])) == [2, 3, 3]
    assert set(rows) <= set(data.rows("train"))
    few = alone(data, rows)
    assert (few.mean, few.std) == (data.mean, data.std)
    np.testing.assert_array_equal(few.images[few.rows("val")], data.images[rows])
    np.testing.assert_array_equal(few.labels[few.rows("train")], np.tile(data.labels[rows], 20))


def test_more_images_than_there_are(cache: Path) -> None:
    with pytest.raises(RequestError, match="training images"):
        overfit(small_recipe(cache), 1000)


def test_one_image_of_a_class_has_no_positive(cache: Path) -> None:
    with pytest.raises(RequestError, match="give at least 6"):
        overfit(small_recipe(cache, "embed.positives=label"), 4)
