"""Images without labels: which are, and how long phase 2 is for so many of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.data.manifest import COLUMNS, Manifest
from contrastive_cxr.datasets.new_recipe import label_free
from contrastive_cxr.datasets.new_recipe import start as starts
from contrastive_cxr.datasets.new_recipe.division import Division
from contrastive_cxr.datasets.new_recipe.start import Start
from contrastive_cxr.recipe import schema


def manifest(**cells: list[str]) -> Manifest:
    count = len(next(iter(cells.values())))
    return Manifest(pd.DataFrame({name: [""] * count for name in COLUMNS} | cells))


@pytest.mark.parametrize(
    ("images", "batch", "epochs"),
    [
        (20, 10, 60),  # two steps an epoch
        (500, 96, 60),
        (1000, 96, 50),  # ten steps an epoch: 500 steps
        (5216, 96, 10),  # as the shipped recipe, whose images these are
        (100_000, 96, 5),
    ],
)
def test_few_images_are_passed_over_more_often(
    monkeypatch: pytest.MonkeyPatch, images: int, batch: int, epochs: int
) -> None:
    monkeypatch.setattr(starts, "_side", lambda data, rows: 300)
    start = Start(["images"], schema.Data(), manifest(label=[""]), labelled=False)
    assert start.name == "xray/label-free"
    tree, reasons = label_free.sections(start, Division(np.array([[images], [9], [0]]), images, 0))
    assert set(tree) == {"model", "embed"}
    assert (tree["embed"]["batch_size"], tree["embed"]["epochs"]) == (batch, epochs)
    assert f"{images:,} training images" in reasons["embed.epochs"]
    assert tree["model"]["image_size"] == 64


def test_small_pictures_have_no_smaller_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "_side", lambda data, rows: 70)
    start = Start(["ct"], schema.Data(), manifest(label=[""]), labelled=False)
    tree, _ = label_free.sections(start, Division(np.array([[100], [9], [0]]), 100, 0))
    assert (start.name, tree["model"]["image_size"]) == ("chest/label-free", 64)
    assert "initial_image_size" not in tree["embed"]


def test_which_images_have_no_labels() -> None:
    data, table = schema.Data(source="folders"), schema.Data(source="csv")
    assert label_free.is_unlabelled(data, manifest(label=["", ""]))
    assert not label_free.is_unlabelled(data, manifest(label=["", "a"]))
    assert not label_free.is_unlabelled(table, manifest(label=["", ""]))
    assert not label_free.is_unlabelled(data, manifest(label=["", ""], Edema=["1", "0"])), "columns are findings"
