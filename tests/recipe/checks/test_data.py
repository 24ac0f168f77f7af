"""Settings of data that do not fit one another, before a file is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from contrastive_cxr.recipe.checks.data import faults
from contrastive_cxr.recipe.schema import Data

FOLDERS: dict[str, Any] = {"source": "folders", "root": "x"}
TABLE: dict[str, Any] = {"source": "csv", "root": "x", "csv": "a.csv"}
MERGE = [{"csv": "b.csv", "on": ["id"]}]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (FOLDERS | {"columns": {"file": "name"}}, "`data.columns.file` is of a table, and data.source is folders"),
        (FOLDERS | {"repeated": "join"}, "`data.repeated` is of a table"),
        ({"source": "covid-ct", "root": "x", "split_lists": {"train": "a"}}, "`data.split_lists` is of a table"),
        (
            TABLE | {"columns": {"split": "s"}, "split_lists": {"train": "a"}},
            "`data.split_lists` and data.columns.split",
        ),
        (TABLE | {"columns": {"split": "s"}, "csv": {"train": "a"}}, "`data.columns.split` and data.csv each say"),
        ({"join": [TABLE | {"source": "folders"}]}, "`data.join.0.csv` is read only where data.join.0.source is csv"),
        ({"join": [FOLDERS], "merge": MERGE}, "`data.merge` is of a table, and data.join has one a source"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(data: dict[str, Any], words: str) -> None:
    (fault,) = faults(Data.model_validate(data))
    assert words in fault


def test_settings_that_fit_have_no_fault() -> None:
    patient = {"patient": {"column": "file", "match": "p[0-9]+"}}
    for data in (
        FOLDERS | {"columns": patient, "merge": MERGE, "where": {"id": 1}, "split_lists": {"train": "a", "test": "b"}},
        TABLE | {"merge": MERGE, "csv": {"train": "a", "val": "b"}},
    ):
        assert list(faults(Data.model_validate(data))) == []


def test_keys_are_a_column_a_list_or_a_mapping() -> None:
    for given, kept in (("a", {"a": "a"}), (["a", "b"], {"a": "a", "b": "b"}), ({"a": "b"}, {"a": "b"})):
        assert Data.model_validate(TABLE | {"merge": [{"csv": "b.csv", "on": given}]}).merge[0].on == kept
