"""Painted phantoms, packed into small shards."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.data.shards.pack import Packed, pack
from contrastive_cxr.recipe import Recipe
from tests.small import small_recipe

SHARD, GROUP = 8, 3


def packed(cache: Path, out: Path, *more: str) -> tuple[Recipe, Packed]:
    """The small phantom recipe, and its images in shards of 8 with row groups of 3."""
    recipe = small_recipe(cache, *more)
    return recipe, pack(recipe.data, recipe.task, out, shard_images=SHARD, group=GROUP)


def from_shards(recipe: Recipe, out: Path | str, **settings: object) -> Dataset:
    """The data set of the recipe from shards."""
    data = recipe.data.model_copy(update={"shards": out, **settings})
    return open_dataset(data, recipe.task)
