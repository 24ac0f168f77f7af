"""How much work the later phases of a run are, for the time that is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.engine import Place
from contrastive_cxr.training.step_time import place_of
from tests.small import small_recipe


def test_later_phases_are_counted_in_images_of_this_one(cache: Path) -> None:
    recipe = small_recipe(cache, "embed.positives=both", "embed.steps_per_epoch=3", "finetune.trainable=null")
    data = open_dataset(recipe.data, recipe.task)
    order = ("pretrain", "embed", "finetune")
    train = len(data.rows("train"))
    finetune = 2 * (train // 8) * 8  # two epochs of whole batches of 8
    embed = 2 * 3 * 4 * len(data.classes) * 2  # epochs, steps, images of a class, classes, views
    assert place_of(recipe, data, order, 2) == Place(3, 3, 0.0)
    assert place_of(recipe, data, order, 1) == Place(2, 3, pytest.approx(finetune / 2))
    assert place_of(recipe, data, order, 0) == Place(1, 3, pytest.approx(finetune + embed))


def test_a_head_on_stored_vectors_costs_one_pass_of_encoding(cache: Path) -> None:
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    assert recipe.finetune is not None
    assert recipe.finetune.on_vectors
    encoded = len(data.rows("train")) + len(data.rows("val"))
    assert place_of(recipe, data, ("pretrain", "finetune"), 0) == Place(1, 2, pytest.approx(encoded / 3))
