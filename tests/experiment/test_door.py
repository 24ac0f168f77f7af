"""The first door: folder and rows, without torch and without opening an image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.experiment.cascade import run_cascade
from contrastive_cxr.experiment.door import first_door
from tests.small import small_recipe


def test_what_a_run_accepts_passes_and_nothing_is_written(cache: Path, tmp_path: Path) -> None:
    first_door(small_recipe(cache), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_division_that_the_images_do_not_allow(cache: Path) -> None:
    with pytest.raises(RequestError, match="too few"):
        first_door(small_recipe(cache, "data.split={kind: folds, folds: 50, val: 0.01}"))


def test_the_labels_of_a_cascades_stages(cache: Path) -> None:
    recipe = small_recipe(cache, "embed=null", "cascade={stage1: phantom/lesion, stage2: phantom/opacity}")
    assert recipe.cascade is not None
    first_door(recipe)
    unknown = recipe.cascade.stage2.model_copy(update={"drop": ()})
    broken = recipe.model_copy(update={"cascade": recipe.cascade.model_copy(update={"stage2": unknown})})
    with pytest.raises(RequestError, match="label 'normal'"):
        first_door(broken)


def test_another_process_than_the_first_leaves_the_folder_to_it(
    finished: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match="already holds a run"):
        first_door(small_recipe(cache), finished)
    monkeypatch.setenv("RANK", "1")
    first_door(small_recipe(cache), finished)


def test_a_missing_file_is_named(finished: Path, cache: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame({"file": ["a.png", "b.png"], "label": ["normal", "nodule"]})
    rows.to_csv(tmp_path / "labels.csv", index=False)
    words = ("data.source=csv", "data.csv=labels.csv", f"data.root={tmp_path}")
    with pytest.raises(RequestError, match=r"a\.png is missing"):
        first_door(small_recipe(cache, *words))


def test_a_cascade_without_classifiers_is_refused_before_training(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, "finetune=null", "cascade={stage1: phantom/lesion, stage2: phantom/opacity}")
    with pytest.raises(RequestError, match="its last phase has none"):
        run_cascade(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
