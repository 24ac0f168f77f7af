from __future__ import annotations

import dataclasses

import pytest

from contrastive_cxr import augment
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.recipe.augmentation import Augment


def test_names_are_those_of_the_recipe() -> None:
    assert augment.AUGMENT_SETS == schema.AUGMENT_SETS == tuple(augment.SETS)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"'xrays' \(did you mean 'xray'\?\).*known are none, ct"):
        augment.check_set("xrays")


def test_impossible_ranges_are_refused() -> None:
    with pytest.raises(AssertionError, match="crop"):
        augment.AugmentSet(crop=(0.5, 1.2))
    with pytest.raises(AssertionError, match="sigma"):
        augment.AugmentSet(sigma=(0.001, 0.5))


def test_a_mapping_changes_what_it_gives_and_nothing_else() -> None:
    found = augment.resolve(Augment(set="strong", zoom=(0.7, 1.1), erase=0.0))
    assert found == dataclasses.replace(augment.SETS["strong"], zoom=(0.7, 1.1), erase=0.0)
    assert augment.resolve("ct") is augment.SETS["ct"]
    assert augment.resolve(found) is found
    with pytest.raises(RequestError, match="did you mean 'strong'"):
        augment.resolve("stron")


def test_a_recipe_can_set_every_range() -> None:
    ranges = {field.name for field in dataclasses.fields(augment.AugmentSet)}
    assert set(Augment.model_fields) == ranges | {"set"}
