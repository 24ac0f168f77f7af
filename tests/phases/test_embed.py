"""Phase 2: what its batches, its loss and its choice may look at."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from contrastive_cxr import augment
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.models import weights
from contrastive_cxr.phases.embed import epoch_batches, warn_on_collapse
from contrastive_cxr.recipe.schema import Embed
from contrastive_cxr.training.run import run
from tests.small import metrics, overrides, same_weights, small_recipe, tensors


@pytest.fixture
def table(finished: Path, tmp_path: Path) -> Path:
    """The phantoms as a CSV source with an official split."""
    rows = pd.read_csv(finished / "manifest.csv", dtype=str, keep_default_na=False)
    for path in rows["path"]:
        (tmp_path / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(rows["root"][0]) / path, tmp_path / "images" / path)
    rows = rows[["path", "label", "split"]].rename(columns={"path": "file"})
    rows.to_csv(tmp_path / "images" / "labels.csv", index=False)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("positives", "choose_by", "same"),
    [("augmented", "loss", True), pytest.param("label", "loss", False, marks=pytest.mark.slow)],
)
def test_labels_change_weights_only_where_they_may(
    table: Path, cache: Path, tmp_path: Path, positives: str, choose_by: str, same: bool
) -> None:
    words = [
        *overrides(cache, "pretrain=null", "finetune=null", "embed.epochs=2", "embed.batch_size=12"),
        "data.source=csv", "data.csv=labels.csv", f"data.root={table}", "data.split.kind=official",
        f"embed.positives={positives}", f"embed.choose_by={choose_by}",
    ]  # fmt: skip
    first = run(recipes.load("phantom", words), tmp_path / "first")
    rows = pd.read_csv(table / "labels.csv", dtype=str)
    rows["label"] = np.random.default_rng(1).permutation(rows["label"])
    rows.to_csv(table / "labels.csv", index=False)
    second = run(recipes.load("phantom", words), tmp_path / "second")
    before, after = (pd.read_csv(folder / "split.csv", dtype=str) for folder in (first, second))
    assert (before["split"] == after["split"]).all()
    assert (before["class"] != after["class"]).any()
    assert same_weights(first / "embed", second / "embed") == same
    assert (metrics(first / "embed") == metrics(second / "embed")) == same


def test_batches_of_classes_and_of_images(cache: Path) -> None:
    recipe = small_recipe(cache)
    data = open_dataset(recipe.data, recipe.task)
    train = data.rows("train")
    labelled = Embed(images_per_class=4)
    for rows in epoch_batches(labelled, data, 0, 0):
        assert np.bincount(data.labels[rows]).tolist() == [4, 4, 4]
        assert len(set(rows)) == 12
    free = Embed(positives="augmented", choose_by="loss", batch_size=8, steps_per_epoch=7)
    batches = epoch_batches(free, data, 0, 0)
    assert [len(rows) for rows in batches] == [8] * 7
    assert set(np.concatenate(batches)) <= set(train)
    again, other = epoch_batches(free, data, 0, 0), epoch_batches(free, data, 0, 1)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))
    assert not all((a == b).all() for a, b in zip(batches, other, strict=True))


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"images_per_class": 16}, 425 // 32),
        ({"images_per_class": 32, "classes_per_batch": 2}, 425 // 64),
        ({"positives": "augmented", "choose_by": "loss", "batch_size": 64}, 6),
        ({"steps_per_epoch": 100}, 100),
        ({"images_per_class": 400}, 1),
    ],
)
def test_an_epoch_is_one_pass_or_the_stated_steps(settings: dict[str, object], steps: int) -> None:
    assert Embed.model_validate(settings).epoch_steps(images=425, classes=2) == steps


def test_a_collapse_is_said_in_plain_words(caplog: pytest.LogCaptureFixture) -> None:
    collapsed = {
        "loss": 0.2,
        "active": 1.0,
        "mined": 9.0,
        "positive_distance": 0.0,
        "negative_distance": 0.0,
        "spread": 0.0,
    }
    with caplog.at_level(logging.WARNING):
        warn_on_collapse(4, {"train": collapsed}, Embed(margin=0.2))
    assert "embed, epoch 5:" in caplog.text
    assert "collapse" in caplog.text
    caplog.clear()
    healthy = {
        "loss": 0.1,
        "active": 0.5,
        "mined": 9.0,
        "positive_distance": 0.4,
        "negative_distance": 1.2,
        "spread": 0.7,
    }
    warn_on_collapse(4, {"train": healthy}, Embed(margin=0.2))
    assert not caplog.text


@pytest.mark.slow
def test_a_discarded_projection_leaves_the_features(tmp_path: Path) -> None:
    words = ("pretrain=null", "embed.discard_projection=true", "embed.epochs=1", "finetune.epochs=1")
    recipe = small_recipe(tmp_path / "cache", *words)
    run(recipe, tmp_path / "run")
    kept, card = weights.load(tmp_path / "run" / "embed")
    assert (kept.projection, card["projection"], card["embedding_size"]) == (None, [], 96)
    images = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        features = kept.features(images)
        assert torch.allclose(kept.embed(images), features / features.norm(dim=1, keepdim=True), atol=1e-6)
    vectors = np.load(tmp_path / "run" / "embed" / "arrays" / "vectors.npy")
    assert vectors.shape[1] == 96
    head = weights.load(tmp_path / "run" / "finetune")[0]
    assert head.projection is None
    assert all(torch.equal(value, tensors(tmp_path / "run" / "finetune")[name]) for name, value in
               tensors(tmp_path / "run" / "embed").items())  # fmt: skip
    # the validation chooses by what is kept: the neighbours of the features
    row = next(row for row in metrics(tmp_path / "run" / "embed") if row["split"] == "val")
    data = open_dataset(recipe.data, recipe.task)
    rows = data.rows("val")
    with torch.no_grad():
        found = kept.features(augment.plain(torch.from_numpy(data.take(rows)), 32)).numpy()
    scored = neighbours.scores(
        found, data.labels[rows], found, data.labels[rows], gallery_ids=rows, query_ids=rows,
        gallery_patients=data.patients[rows], query_patients=data.patients[rows],
    )  # fmt: skip
    assert row["map_at_r"] == pytest.approx(scored.values["map_at_r"]["value"], abs=1e-5)


def test_a_projection_that_is_not_there_is_not_discarded() -> None:
    with pytest.raises(RequestError, match="there is no projection to discard"):
        recipes.load("phantom", ["embed.projection=[]", "embed.discard_projection=true"])
