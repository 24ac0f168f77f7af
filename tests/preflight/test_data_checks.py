"""Checks of folder and rows, without torch and without opening an image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight.data_checks import as_recorded, check_data_and_folder, same_recipe
from contrastive_cxr.training.cascade import run_cascade
from tests.small import small_recipe


def test_what_a_run_accepts_passes_and_nothing_is_written(cache: Path, tmp_path: Path) -> None:
    check_data_and_folder(small_recipe(cache), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_division_that_the_images_do_not_allow(cache: Path) -> None:
    with pytest.raises(RequestError, match="too few"):
        check_data_and_folder(small_recipe(cache, "data.split={kind: folds, folds: 50, val: 0.01}"))


def test_the_labels_of_a_cascades_stages(cache: Path) -> None:
    recipe = small_recipe(cache, "embed=null", "cascade={stage1: phantom/lesion, stage2: phantom/opacity}")
    assert recipe.cascade is not None
    check_data_and_folder(recipe)
    unknown = recipe.cascade.stage2.model_copy(update={"drop": ()})
    broken = recipe.model_copy(update={"cascade": recipe.cascade.model_copy(update={"stage2": unknown})})
    with pytest.raises(RequestError, match="label 'normal'"):
        check_data_and_folder(broken)


def test_another_process_than_the_first_leaves_the_folder_to_it(
    finished: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match="already holds a run"):
        check_data_and_folder(small_recipe(cache), finished)
    monkeypatch.setenv("RANK", "1")
    check_data_and_folder(small_recipe(cache), finished)


def test_a_missing_file_is_named(finished: Path, cache: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame({"file": ["a.png", "b.png"], "label": ["normal", "nodule"]})
    rows.to_csv(tmp_path / "labels.csv", index=False)
    words = ("data.source=csv", "data.csv=labels.csv", f"data.root={tmp_path}")
    with pytest.raises(RequestError, match=r"a\.png is missing"):
        check_data_and_folder(small_recipe(cache, *words))


def test_a_cascade_without_classifiers_is_refused_before_training(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, "finetune=null", "cascade={stage1: phantom/lesion, stage2: phantom/opacity}")
    with pytest.raises(RequestError, match="its last phase has none"):
        run_cascade(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_of_before_goes_on_with_its_own_reading(cache: Path, tmp_path: Path) -> None:
    """It recorded the default of then; a recipe that says nothing of it is the same recipe still."""
    recipe = small_recipe(cache)
    tree = yaml.safe_load(recipes.record(recipe))
    del tree["data"]["decoding"]
    tree["data"]["intensity"] = {"kind": "dtype", "low": 0.5, "high": 99.5}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    same_recipe(recipe, tmp_path, resume=True)
    data = as_recorded(recipe, tmp_path, resume=True).data
    assert (data.decoding, data.intensity.kind) == (1, "dtype")
    assert as_recorded(recipe, tmp_path, resume=False) == recipe
    with pytest.raises(RequestError, match="kind: dtype -> kind: min-max"):
        same_recipe(small_recipe(cache, "data.intensity=min-max"), tmp_path, resume=True)


def test_ranges_that_a_run_found_make_no_other_recipe(cache: Path, tmp_path: Path) -> None:
    found = small_recipe(cache, "data.intensity.ranges={phantom: [0, 4095]}")
    (tmp_path / "recipe.yaml").write_text(recipes.record(found))
    same_recipe(small_recipe(cache), tmp_path, resume=True)
