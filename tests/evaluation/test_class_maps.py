"""Grad-CAM of a pool's cases: which images, of which runs, and what the page says where there is none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from contrastive_cxr import report
from contrastive_cxr.augment import plain
from contrastive_cxr.evaluation import class_maps
from contrastive_cxr.evaluation.class_maps import CaseMap
from contrastive_cxr.evaluation.pooled import pool
from contrastive_cxr.explain import blend, class_map, standing_out
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import Recipe, schema
from contrastive_cxr.retrieval.image_inputs import square
from contrastive_cxr.training.run import run
from tests.small import small_recipe


def test_a_mean_takes_each_map_by_its_own_largest_value() -> None:
    image = np.zeros((240, 240), np.float32)
    weak, strong = np.array([[0.0, 0.1]], np.float32), np.array([[50.0, 0.0]], np.float32)
    mean = class_maps.mean_of([CaseMap(3, 0, weak, image), CaseMap(3, 1, strong, image)])
    assert (mean.row, mean.part) == (3, class_maps.MEAN)
    np.testing.assert_allclose(mean.heat, [[0.5, 0.5]])
    single = CaseMap(3, 1, strong, image)
    assert class_maps.mean_of([single]) is single
    even = CaseMap(3, 0, np.zeros((1, 2), np.float32), image)
    np.testing.assert_allclose(class_maps.mean_of([even, single]).heat, [[0.5, 0.0]])


@pytest.fixture(scope="module")
def recipe(cache: Path) -> Recipe:
    return small_recipe(cache, "embed=null", "finetune=null", "pretrain.epochs=1")


@pytest.fixture(scope="module")
def pooled(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one epoch and their common report; it is read only."""
    out = tmp_path_factory.mktemp("runs") / "pool"
    places = {f"seed{seed}": out / f"seed{seed}" for seed in (0, 1)}
    for seed, place in enumerate(places.values()):
        run(recipe.model_copy(update={"seed": seed}), place)
    pool(recipe, out, places)
    return out


def test_the_maps_of_seeds_are_their_mean(pooled: Path) -> None:
    arrays = pooled / "arrays"
    given = [np.load(pooled / f"seed{seed}" / "pretrain" / "arrays" / "probabilities.npy") for seed in (0, 1)]
    rows = pd.read_csv(arrays / "rows.csv", dtype=str)
    theirs = pd.read_csv(pooled / "seed0" / "pretrain" / "arrays" / "rows.csv", dtype=str)["path"].tolist()
    order = [theirs.index(path) for path in rows["path"]]
    mean = (given[0] + given[1])[order] / 2
    np.testing.assert_allclose(np.load(arrays / "probabilities.npy"), mean, atol=1e-6)
    labels = np.load(arrays / "labels.npy")
    found, pictures = np.load(arrays / "gradcam_rows.npy"), np.load(arrays / "gradcam.npy")
    assert found[:, 0].tolist() == report.case_rows(mean.max(1), mean.argmax(1), labels)
    assert set(found[:, 2]) == {class_maps.MEAN}
    networks = [weights.load(pooled / f"seed{seed}" / "pretrain")[0].eval() for seed in (0, 1)]
    for (row, signal, _), picture in zip(found, pictures, strict=True):
        file = f"{rows['root'][row]}/{rows['path'][row]}"
        pixels = torch.from_numpy(square(file, schema.Data(cache_size=32)))[None, None]
        each = [class_map(network, plain(pixels, 32), int(mean[row].argmax())) for network in networks]
        over = standing_out(sum(heat / max(heat.max(), 1e-12) for heat in each) / 2)
        assert (over is not None) == bool(signal)
        if over is not None:
            assert np.abs(blend(plain(pixels, 240)[0, 0].numpy(), over).astype(int) - picture).max() <= 1
    text = (pooled / "report.html").read_text()
    part = text[text.index('id="cases"') :]
    assert part.count("Grad-CAM, the mean of the maps of the runs that scored this image") == int(found[:, 1].sum())
    assert "seed0/report.html" in part


def test_an_image_of_one_run_alone_has_the_map_of_that_run(pooled: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    for number in (0, 1):
        shutil.copytree(pooled / f"seed{number}", out / f"fold{number}")
        arrays = out / f"fold{number}" / "pretrain" / "arrays"
        half = np.arange(len(np.load(arrays / "labels.npy"))) % 2 == number
        for name in ("probabilities", "labels"):
            np.save(arrays / f"{name}.npy", np.load(arrays / f"{name}.npy")[half])
        pd.read_csv(arrays / "rows.csv", dtype=str)[half].to_csv(arrays / "rows.csv", index=False)
    pool(recipe, out, {f"fold{number}": out / f"fold{number}" for number in (0, 1)})
    rows = pd.read_csv(out / "arrays" / "rows.csv", dtype=str)["path"].tolist()
    found = np.load(out / "arrays" / "gradcam_rows.npy")
    for number in (0, 1):
        own = pd.read_csv(out / f"fold{number}" / "pretrain" / "arrays" / "rows.csv", dtype=str)["path"].tolist()
        assert [row in found[found[:, 2] == number, 0] for row in found[:, 0]] == [rows[r] in own for r in found[:, 0]]
        shown = int(found[found[:, 2] == number, 1].sum())
        text = (out / "report.html").read_text()
        assert text.count(f"Grad-CAM of fold{number}, which scored this image") == shown


def test_without_a_model_the_page_says_why_there_is_no_map(pooled: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "pool"
    shutil.copytree(pooled, out)
    (out / "seed1" / "pretrain" / "model.json").unlink()
    pool(recipe, out, {f"seed{seed}": out / f"seed{seed}" for seed in (0, 1)})
    assert not (out / "arrays" / "gradcam.npy").exists()
    text = (out / "report.html").read_text()
    assert "There is no Grad-CAM: no classifier predicts here, a model cannot be read" in text
    assert json.loads((out / "report.json").read_text())["pool"]["parts"] == ["seed0", "seed1"]
