"""The section of intensities: its words, and what a recipe of before means."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import dump, load


def test_the_default_is_auto_and_a_word_alone_is_the_kind() -> None:
    data = load("phantom").data
    assert (data.intensity.kind, data.intensity.ct, data.intensity.ranges, data.decoding) == ("auto", "lung", None, 3)
    assert load("phantom", ["data.intensity=min-max"]).data.intensity.kind == "min-max"


@pytest.mark.parametrize(("word", "window"), [("lung", (-600, 1500)), ("[50, 350]", (50, 350))])
def test_windows_of_ct(word: str, window: tuple[float, float]) -> None:
    assert load("phantom", [f"data.intensity.ct={word}"]).data.intensity.ct_window == window


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.intensity.ct=lungs", "'lungs' is not one of lung, mediastinum, bone .*lung"),
        ("data.intensity.ct=[40, 0]", "width 0 of the window is not above 0"),
        ("data.intensity.ranges={x: [5, 5]}", r"the range \[5, 5\] is empty"),
        ("data.intensity=automatic", "'automatic' is not one of auto, dtype"),
    ],
)
def test_what_is_no_setting_is_named(override: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        load("phantom", [override])


def test_a_recipe_that_a_run_recorded_before_reads_as_it_did(tmp_path: Path) -> None:
    tree = yaml.safe_load(dump(load("phantom", ["data.intensity.kind=dtype"])))
    del tree["data"]["decoding"], tree["data"]["intensity"]["ct"], tree["data"]["intensity"]["ranges"]
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree))
    data = load(path).data
    assert (data.decoding, data.intensity.kind) == (1, "dtype")
    del tree["data"]["workers"]  # written by hand: nobody states all
    path.write_text(yaml.safe_dump(tree))
    assert load(path).data.decoding == 3


def test_a_recorded_recipe_is_read_back_with_its_ranges(tmp_path: Path) -> None:
    recipe = load("phantom", ["data.intensity.ranges={xray: [0, 4095]}", "data.intensity.ct=[40, 400]"])
    path = tmp_path / "recipe.yaml"
    path.write_text(dump(recipe))
    assert load(path) == recipe
