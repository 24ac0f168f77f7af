"""The recipe of an experiment: its shape, its files, its checks. No torch."""

from __future__ import annotations

from contrastive_cxr import shipped
from contrastive_cxr.recipe import schema
from contrastive_cxr.recipe.augmentation import Augment
from contrastive_cxr.recipe.dump import dump, record
from contrastive_cxr.recipe.frames import frames_of
from contrastive_cxr.recipe.load import load
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.recipe.text.json_schema import json_schema

__all__ = ["Augment", "Recipe", "dump", "frames_of", "json_schema", "load", "record", "schema", "shipped"]
