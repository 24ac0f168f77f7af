"""Marks become a table that the table reader takes back, with the new labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from contrastive_cxr.data import sources
from contrastive_cxr.datasets.look import settings
from contrastive_cxr.errors import RequestError
from contrastive_cxr.explore import marks
from contrastive_cxr.explore.marks import Mark
from contrastive_cxr.explore.pictures import addresses


@pytest.fixture
def rows(painted: pd.DataFrame) -> pd.DataFrame:
    return painted.assign(label=["a", "b", "b", "a"], patient=["p", "p", "q", "q"], split="train")


def test_the_csv_is_read_back_as_images_with_the_new_labels(rows: pd.DataFrame, tmp_path: Path) -> None:
    given = [Mark(row=2, label="a, new", note='two\nlines and "quotes"'), Mark(row=0)]
    file = tmp_path / "marks.csv"
    file.write_bytes(marks.csv(rows, addresses(rows), given))
    table = pd.read_csv(file, dtype=str).fillna("")
    assert table["label"].tolist() == ["a", "a, new"]
    assert table["label_before"].tolist() == ["a", "b"]
    assert table["mark"].tolist() == ["marked", "relabelled"]
    assert table["note"].tolist() == ["", 'two lines and "quotes"']
    manifest, faults = sources.rows_of(settings([file], ["data.outside=true"], None))
    assert not faults
    assert table["file"].tolist() == [str(Path(name).resolve()) for name in addresses(rows.iloc[[0, 2]])]
    assert manifest.rows["label"].tolist() == ["a", "a, new"]
    assert manifest.rows["patient"].tolist() == ["p", "q"]


def test_every_fault_is_told_at_once(rows: pd.DataFrame) -> None:
    with pytest.raises(RequestError, match="nothing is marked"):
        marks.csv(rows, addresses(rows), [])
    with pytest.raises(RequestError) as raised:
        marks.csv(rows, ["", *addresses(rows)[1:]], [Mark(row=0), Mark(row=9), Mark(row=1), Mark(row=1)])
    assert raised.value.faults == (
        "row 9: the gallery has 4 rows, from 0",
        "row 1: is marked twice",
        "row 0: the gallery does not say where its image is",
    )
