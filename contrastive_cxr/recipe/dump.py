"""A recipe as text."""

from __future__ import annotations

import contrastive_cxr.recipe.yaml_text as yaml_text
from contrastive_cxr.recipe.schema import Recipe


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every setting written out; `load` reads it back to an equal recipe."""
    return yaml_text.write(recipe.model_dump(mode="json"))
