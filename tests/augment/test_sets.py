from __future__ import annotations

import pytest

from contrastive_cxr import augment
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema


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
