"""A recipe as text."""

from __future__ import annotations

from pathlib import Path

import contrastive_cxr.recipe.text.yaml_text as yaml_text
from contrastive_cxr.recipe.schema import Recipe


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every setting written out; `load` reads it back to an equal recipe."""
    return yaml_text.write(recipe.model_dump(mode="json"))


def record(recipe: Recipe) -> str:
    """As `dump`, for the run's own folder: data and cache folders absolute, so that it can be read from anywhere.

    A relative folder is taken from the current one, where the run reads it.
    """
    data = recipe.data
    joined = tuple(source.model_copy(update={"root": _absolute(source.root)}) for source in data.join)
    found = {"root": _absolute(data.root), "cache_dir": _absolute(data.cache_dir), "join": joined}
    found["shards"] = _absolute(data.shards)
    return dump(recipe.model_copy(update={"data": data.model_copy(update=found)}))


def _absolute(folder: Path | str | None) -> Path | str | None:
    """A folder from anywhere; a URL, which is text, as it is."""
    return Path.cwd() / folder if isinstance(folder, Path) else folder
