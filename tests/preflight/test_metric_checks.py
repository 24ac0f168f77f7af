"""A metric that cannot choose a checkpoint is refused before anything is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.preflight.model_checks import check_model_and_batches
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.run.tracking import overruled
from contrastive_cxr.training.dry_run import plan

RECIPE = """
name: tiny
data: {source: folders, cache_size: 64, split: {kind: official}}
task: {name: t, classes: {neg: [neg], pos: [pos]}}
model: {backbone: cnn2, image_size: 32}
pretrain: {epochs: 1, batch_size: 8, augment: none}
tracking: {wandb: "off"}
"""


def tree(root: Path, **counts: int) -> Path:
    """Class folders, `val_neg=4` images of noise in `val/neg`."""
    rng = np.random.default_rng(0)
    for word, count in counts.items():
        place = root / word.replace("_", "/")
        place.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (48, 48)).astype("uint8")).save(place / f"{number}.png")
    return root


def loaded(root: Path, *more: str) -> tuple[Recipe, Dataset]:
    (root / "tiny.yaml").write_text(RECIPE)
    words = [f"data.root={root / 'images'}", f"data.cache_dir={root / 'cache'}", *more]
    recipe = recipes.load(str(root / "tiny.yaml"), words)
    return recipe, open_dataset(recipe.data, recipe.task)


@pytest.fixture(scope="module")
def one_class(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The case `one-class-in-val`: validation has no image of class pos."""
    root = tmp_path_factory.mktemp("one")
    tree(root / "images", train_neg=8, train_pos=8, test_neg=4, test_pos=4, val_neg=4)
    return root


def test_the_dry_run_says_that_auc_cannot_choose_where_validation_has_one_class(one_class: Path) -> None:
    recipe, _ = loaded(one_class)
    with pytest.raises(RequestError) as caught:
        plan(recipe)
    (fault,) = caught.value.faults
    assert "pretrain.choose_by=auc cannot choose a checkpoint: the validation part has no image of class 'pos'" in fault
    assert "pretrain.choose_by=loss or last" in fault
    assert "within-train" in fault


@pytest.mark.parametrize("word", ["loss", "last"])
def test_the_cure_is_one(one_class: Path, word: str) -> None:
    recipe, data = loaded(one_class, f"pretrain.choose_by={word}")
    check_model_and_batches(recipe, data, ["pretrain"])


def test_other_metrics_that_one_class_leaves_without_a_choice(one_class: Path) -> None:
    for word in ("balanced_accuracy", "accuracy", "f1"):
        recipe, data = loaded(one_class, f"pretrain.choose_by={word}")
        with pytest.raises(RequestError, match="all 4 validation images are of class 'neg'"):
            check_model_and_batches(recipe, data, ["pretrain"])
    recipe, data = loaded(one_class, "pretrain=null", "embed={epochs: 1, images_per_class: 2, augment: none}")
    with pytest.raises(RequestError, match=r"embed.choose_by=map_at_r cannot choose .* of class 'neg'"):
        check_model_and_batches(recipe, data, ["embed"])


def test_neighbours_need_two_images_of_a_class(tmp_path: Path) -> None:
    tree(tmp_path / "images", train_neg=4, train_pos=4, val_neg=1, val_pos=1)
    embed = "embed={epochs: 1, images_per_class: 2, augment: none}"
    recipe, data = loaded(tmp_path, "pretrain=null", embed)
    with pytest.raises(RequestError, match="no validation image has another one of its class"):
        check_model_and_batches(recipe, data, ["embed"])
    recipe, data = loaded(
        tmp_path, "pretrain=null", embed.replace("augment", "positives: augmented, choose_by: loss, augment")
    )
    check_model_and_batches(recipe, data, ["embed"])


def test_one_class_in_training(tmp_path: Path) -> None:
    tree(tmp_path / "images", train_neg=4, val_neg=2, val_pos=2)
    with pytest.raises(RequestError, match=r"the training part has images of \['neg'\] and none of \['pos'\]"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("environment", "mode", "said"),
    [
        ("online", "offline", "set tracking.wandb=online"),
        ("disabled", "offline", "set tracking.wandb=off"),
        ("disabled", "off", ""),
        ("dryrun", "offline", ""),
        ("", "online", ""),
    ],
)
def test_a_mode_of_wandb_that_is_overruled_is_said(
    monkeypatch: pytest.MonkeyPatch, environment: str, mode: str, said: str, one_class: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", environment)
    recipe, _ = loaded(one_class, f"tracking.wandb={mode}", "pretrain.choose_by=last")
    sentence = overruled(recipe.tracking)
    assert (said in sentence) if said else not sentence
    assert plan(recipe).notes == ((sentence,) if said else ())
