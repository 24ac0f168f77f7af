"""The pre-flight check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.training.overfit import one_batch, overfit
from tests.small import small_recipe


def test_a_batch_is_learned_by_heart(cache: Path) -> None:
    outcome = overfit(small_recipe(cache), 8)
    assert outcome.learned
    assert outcome.accuracy == 1
    assert outcome.loss < 0.05 < outcome.first_loss
    assert "were learned by heart" in outcome.words(8)


def test_a_rate_that_teaches_nothing_is_said(cache: Path) -> None:
    outcome = overfit(small_recipe(cache, "pretrain.optimiser.lr=1.0e-9"), 8, steps=5)
    assert not outcome.learned
    assert outcome.steps == 5
    assert "could NOT be learned" in outcome.words(8)


def test_the_batch_has_the_classes_in_turn(cache: Path) -> None:
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    rows = one_batch(data, 8, seed=0)
    assert sorted(np.bincount(data.labels[rows])) == [2, 3, 3]
    assert set(rows) <= set(data.rows("train"))


def test_more_images_than_there_are(cache: Path) -> None:
    with pytest.raises(RequestError, match="training images"):
        overfit(small_recipe(cache), 1000)


def test_without_a_supervised_phase(cache: Path) -> None:
    with pytest.raises(RequestError, match="supervised phase"):
        overfit(small_recipe(cache, "pretrain=null", "finetune=null"), 8)
