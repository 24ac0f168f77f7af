"""Blind baselines before any training: by the split where there is one, out of fold where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.audit import blind
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.metrics import baselines
from tests.audit.test_groups import table

N = 48


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_TREES", 20)


@pytest.fixture
def told() -> tuple[pd.DataFrame, Squares]:
    """Brightness and file size both tell the label."""
    label = np.arange(N) % 2
    images = np.where(label, 200, 50)[:, None, None, None] + np.random.default_rng(0).integers(0, 20, (N, 1, 32, 32))
    rows = table(*({"label": "xy"[number]} for number in label))
    pads = {f"pad_{side}": 0 for side in ("left", "top", "right", "bottom")}
    rows = rows.assign(format="PNG", mode="L", bytes=1000 + 500 * label, **pads)
    return rows, Squares(images.astype(np.uint8), np.arange(N))


def test_without_a_split_every_image_is_predicted(told: tuple[pd.DataFrame, Squares]) -> None:
    found = blind.blind(*told, np.arange(N))
    assert [each["name"] for each in found] == list(blind.NAMES)
    assert all((each["split"], each["n"], each["accuracy"], each["auc"]) == ("out-of-fold", N, 1, 1) for each in found)


def test_with_a_split_its_parts_are_scored(told: tuple[pd.DataFrame, Squares]) -> None:
    rows, images = told
    rows["split"] = ["train"] * 24 + ["val"] * 10 + ["test"] * 14
    rows.loc[34:, "bytes"] = 1250  # in the test part the file size says nothing
    found = {(each["name"], each["split"]): each for each in blind.blind(rows, images, np.arange(N))}
    assert len(found) == 6
    assert found[blind.NAMES[0], "val"]["auc"] == 1
    assert found[blind.NAMES[0], "test"]["auc"] == 0.5
    assert found[blind.NAMES[2], "test"] == {
        "name": blind.NAMES[2], "split": "test", "n": 14, "accuracy": 1.0, "auc": 1.0
    }  # fmt: skip


def test_one_label_has_no_baseline(told: tuple[pd.DataFrame, Squares]) -> None:
    rows, images = told
    assert blind.blind(rows.assign(label="x"), images, np.arange(N)) == []
