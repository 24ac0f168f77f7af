"""Columns that a recipe names for its subgroups, and what becomes of them in a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight.data_checks import check_data_and_folder
from contrastive_cxr.preflight.subgroup_columns import column_faults, of_rows
from tests.small import small_recipe


def test_columns_that_are_not_there_or_no_groups() -> None:
    columns = ["path", "root", "label", "patient", "split", "source", "sex", "age"]
    assert column_faults(("sex", "age", "source", "label"), columns) == []
    faults = column_faults(("sx", "patient", "sx"), columns)
    assert len(faults) == 2
    assert "'sx'" in faults[0]
    assert "'sex'" in faults[0]
    assert "['label', 'source', 'sex', 'age']" in faults[1]


def test_the_first_door_refuses_a_column_that_the_data_lack(cache: Path) -> None:
    check_data_and_folder(small_recipe(cache, "evaluation.subgroups=[source]"))
    with pytest.raises(RequestError, match=r"evaluation\.subgroups 'sex' is not a column"):
        check_data_and_folder(small_recipe(cache, "evaluation.subgroups=[sex]"))


def test_each_column_has_its_groups_and_json_can_hold_them(cache: Path) -> None:
    rng = np.random.default_rng(0)
    raw, labels = rng.random((60, 3)), np.arange(60) % 3
    rows = pd.DataFrame({"sex": ["f", "m"] * 30, "age": [str(20 + i) for i in range(60)]})
    recipe = small_recipe(cache, "evaluation.subgroups=[sex, age, site, sex]")
    found = of_rows(recipe, rows, raw / raw.sum(1, keepdims=True), labels, np.full(60, -1))
    assert list(found) == ["sex", "age"], "new images may lack a column"
    assert [group["n"] for group in found["sex"]["groups"]] == [30, 30]
    assert found["age"]["quartiles"] is True
    assert [group["name"] for group in found["age"]["groups"]] == ["20 to 34", "35 to 49", "50 to 64", "65 to 79"]
    right = (raw.argmax(1) == labels)[::2]
    assert found["sex"]["groups"][0]["scores"]["accuracy"]["value"] == pytest.approx(right.mean())


def test_without_columns_there_is_nothing(cache: Path) -> None:
    rows = pd.DataFrame({"sex": ["f"] * 4})
    assert of_rows(small_recipe(cache), rows, np.full((4, 3), 1 / 3), np.zeros(4, dtype=np.int64), np.full(4, -1)) == {}
