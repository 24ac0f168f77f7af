from __future__ import annotations

import typing
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from contrastive_cxr import recipe
from contrastive_cxr.recipe.schema import Recipe


def models(annotation: object) -> Iterator[type[BaseModel]]:
    """All models that can be reached from an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for part in typing.get_args(annotation):
        yield from models(part)


@pytest.mark.parametrize("model", sorted(set(models(Recipe)), key=str))
def test_a_section_is_closed_frozen_and_told(model: type[BaseModel]) -> None:
    assert model.model_config["extra"] == "forbid"
    assert model.model_config["frozen"] is True
    untold = [name for name, field in model.model_fields.items() if not field.description]
    assert not untold, f"{model.__name__} does not say what {untold} are"


def test_a_loaded_recipe_cannot_be_changed() -> None:
    loaded = recipe.load("phantom")
    with pytest.raises(ValidationError, match="frozen"):
        loaded.seed = 1  # type: ignore[misc]
