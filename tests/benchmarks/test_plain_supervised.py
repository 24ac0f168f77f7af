from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.plain_supervised import Pictures, normalised, resized
from contrastive_cxr.data.dataset import open_dataset
from tests.small import small_recipe


def test_training_pictures_have_the_range_that_is_scored(cache: Path) -> None:
    """torchvision's colour transforms cut floats off at 0: pictures in -1..1 would lose their dark half in training."""
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    rows = data.rows("train")
    plain = normalised(resized(data, rows, 32))
    drawn = Pictures(data, rows, 32)
    pictures = torch.stack([drawn[place][0] for place in range(len(rows))])
    assert plain.min() < -0.5
    assert pictures.min() < -0.5
    assert abs(float(pictures.mean() - plain.mean())) < 0.1
    assert [drawn[place][1] for place in range(len(rows))] == list(data.labels[rows])
