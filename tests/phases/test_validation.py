"""The checkpoint's choice under fixed changes: worked out again from the network that was kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from contrastive_cxr import augment
from contrastive_cxr.augment.corruptions import corrupt
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.training.run import run
from tests.small import metrics, small_recipe

CHANGES = ("crop", "crop_height", "zoom_out", "contrast_lower", "blur")


def by_hand(recipe: Recipe, phase: Path) -> float:
    """Mean AUC of the saved network on the plain validation images and on the changed ones, one image at a time."""
    data = open_dataset(recipe.data, recipe.task)
    rows = data.rows("val")
    network, _ = weights.load(phase)
    network.eval()
    areas = []
    for change in (None, *CHANGES):
        said = []
        for row in rows:
            pixels = torch.from_numpy(data.take(np.array([row])))
            pixels = pixels.reshape(1, 1, *pixels.shape[-2:])
            shown = pixels if change is None else corrupt(pixels, change, 2)
            with torch.no_grad():
                said.append(network.logits(augment.plain(shown, recipe.model.image_size)).softmax(1)[0].numpy())
        areas.append(roc_auc_score(data.labels[rows], np.stack(said), multi_class="ovr"))
    return float(np.mean(areas))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_the_epoch_of_the_best_robust_auc_is_kept(cache: Path, tmp_path: Path, name: str) -> None:
    left_out = {"pretrain": ("finetune=null",), "finetune": ("pretrain=null", "finetune.trainable=null")}[name]
    recipe = small_recipe(cache, "embed=null", *left_out, f"{name}.choose_by=robust_auc", f"{name}.epochs=3")
    out = run(recipe, tmp_path / "run")
    rows = [row for row in metrics(out / name) if row["split"] == "val"]
    assert all({"auc", "robust_auc"} <= set(row) for row in rows)
    best = max(rows, key=lambda row: row["robust_auc"])
    _, card = weights.load(out / name)
    assert card["training"]["best_epoch"] == best["epoch"]
    assert best["robust_auc"] == pytest.approx(by_hand(recipe, out / name), abs=1e-4)


def test_without_it_no_changed_image_is_looked_at(finished: Path) -> None:
    assert not any("robust_auc" in row for row in metrics(finished / "pretrain"))
