"""Suspected copies: one file by its digest, one picture by its detail, and two pictures are not one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contrastive_cxr.explore.copies import suspected
from contrastive_cxr.explore.pictures import Pictures, addresses
from contrastive_cxr.recipe import schema


def pictures(rows: pd.DataFrame) -> Pictures:
    return Pictures(addresses(rows), schema.Data(source="folders", root="."))


def near(count: int) -> tuple[np.ndarray, np.ndarray]:
    """All others of each row."""
    rows = np.array([[other for other in range(count) if other != row] for row in range(count)])
    return rows, np.ones(rows.shape, np.float32)


def test_one_picture_saved_twice_is_found_and_others_are_not(painted: pd.DataFrame) -> None:
    assert suspected(painted, *near(4), pictures(painted)).tolist() == [[0, 1]]


def test_equal_digests_are_one_file_even_where_the_files_are_gone(painted: pd.DataFrame) -> None:
    gone = painted.assign(path="gone.png", digest=["a", "b", "a", ""])
    assert suspected(gone, *near(4), pictures(gone)).tolist() == [[0, 2]]


def test_one_row_has_no_copy(painted: pd.DataFrame) -> None:
    one = painted.iloc[:1]
    found = suspected(one, np.empty((1, 0), np.int64), np.empty((1, 0), np.float32), pictures(one))
    assert found.shape == (0, 2)
