"""A run writes what docs/architecture.md says, and what it writes is right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

import contrastive_cxr
from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.training.run import run
from tests.small import PHASES, metrics, same_weights, small_recipe


def test_the_folder_is_that_of_the_architecture(finished: Path) -> None:
    there = {path.name for path in finished.iterdir()}
    assert {"recipe.yaml", "environment.json", "manifest.csv", "split.csv", "report.json", "report.html"} <= there
    assert "augmentation-xray.png" in there
    wanted = {"metrics.jsonl", "timing.jsonl", "model.safetensors", "model.json", "arrays", "done.json"}
    for name in PHASES:
        assert {path.name for path in (finished / name).iterdir()} == wanted
    assert not list(finished.rglob("*.partial"))


def test_the_recipe_in_the_folder_is_the_one_that_ran(finished: Path, cache: Path) -> None:
    ranges = "data.intensity.ranges={}"  # what a run records of 8-bit images: no source has a range of its own
    assert recipes.load(finished / "recipe.yaml") == small_recipe(cache, ranges)


def test_scores_are_those_of_scikit_learn(finished: Path) -> None:
    facts = json.loads((finished / "report.json").read_text())
    arrays = finished / "finetune" / "arrays"
    probabilities, labels = np.load(arrays / "probabilities.npy"), np.load(arrays / "labels.npy")
    said = probabilities.argmax(1)
    want = {
        "accuracy": accuracy_score(labels, said),
        "balanced_accuracy": balanced_accuracy_score(labels, said),
        "auc": roc_auc_score(labels, probabilities, multi_class="ovr"),
    }
    assert facts["phase"] == "finetune"
    assert facts["split"] == "test"
    assert facts["n"] == len(labels)
    for name, value in want.items():
        assert facts["scores"][name]["value"] == pytest.approx(value, abs=1e-6)


def test_arrays_are_of_the_rows_that_stand_beside_them(finished: Path) -> None:
    table = pd.read_csv(finished / "split.csv", dtype=str, keep_default_na=False)
    for name in PHASES:
        rows = pd.read_csv(finished / name / "arrays" / "rows.csv", dtype=str, keep_default_na=False)
        labels = np.load(finished / name / "arrays" / "labels.npy")
        assert sorted(rows["path"]) == sorted(table["path"][table["split"] == "test"])
        assert [("normal", "nodule", "opacity")[label] for label in labels] == list(rows["class"])


@pytest.mark.parametrize("name", PHASES)
def test_vectors_are_what_the_imported_model_says_of_the_files(finished: Path, name: str) -> None:
    rows = pd.read_csv(finished / name / "arrays" / "rows.csv", dtype=str, keep_default_na=False)
    model = EmbeddingModel.load(finished / name)
    files = [Path(root) / path for root, path in zip(rows["root"], rows["path"], strict=True)]
    np.testing.assert_allclose(np.load(finished / name / "arrays" / "vectors.npy"), model.embed(files), atol=1e-5)
    if name != "embed":
        said = np.load(finished / name / "arrays" / "probabilities.npy")
        np.testing.assert_allclose(said, model.predict(files), atol=1e-5)


def test_the_models_say_what_they_are(finished: Path) -> None:
    for name in PHASES:
        network, card = weights.load(finished / name)
        assert card["phase"] == name
        assert card["task"]["name"] == "phantom"
        assert (network.classifier is None) == (name == "embed")
    assert card["projection"] == [32, 16]


def test_metrics_have_train_and_validation_of_each_epoch(finished: Path) -> None:
    for name in ("pretrain", "finetune"):
        for split in ("train", "val"):
            rows = [row for row in metrics(finished / name) if row["split"] == split]
            assert [row["epoch"] for row in rows] == [1, 2]
            for row in rows:
                assert {"loss", "precision", "recall", "auc"} <= set(row)
    rows = metrics(finished / "embed")
    train = [row for row in rows if row["split"] == "train"]
    val = [row for row in rows if row["split"] == "val"]
    assert {"loss", "mined", "active", "positive_distance", "negative_distance", "spread"} <= set(train[0])
    assert {"loss", "spread", "map_at_r", "knn_accuracy"} <= set(val[0])


def test_the_checkpoint_is_the_best_by_the_named_metric(finished: Path) -> None:
    for name, metric in (("pretrain", "auc"), ("embed", "map_at_r"), ("finetune", "auc")):
        values = [row[metric] for row in metrics(finished / name) if row["split"] == "val"]
        done = json.loads((finished / name / "done.json").read_text())
        assert done["best_value"] == max(values)
        assert done["best_epoch"] == 1 + values.index(max(values))


def test_the_run_is_importable_by_its_public_name() -> None:
    assert contrastive_cxr.run_recipe is run


def test_the_embedding_starts_from_the_pretrained_backbone(finished: Path) -> None:
    """With a frozen backbone, the later phases still hold the weights of phase 1."""
    before, after = weights.load(finished / "embed")[0], weights.load(finished / "finetune")[0]
    assert all(a.equal(b) for a, b in zip(before.backbone.parameters(), after.backbone.parameters(), strict=True))
    assert before.projection is not None
    assert after.projection is not None
    assert all(a.equal(b) for a, b in zip(before.projection.parameters(), after.projection.parameters(), strict=True))


@pytest.mark.slow
def test_phases_one_by_one_give_the_weights_of_the_run(finished: Path, cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache)
    first = run(recipe, tmp_path / "a", only=("pretrain",))
    second = run(recipe, tmp_path / "b", only=("embed",), origin=first)
    third = run(recipe, tmp_path / "c", only=("finetune",), origin=second)
    for folder, name in ((first, "pretrain"), (second, "embed"), (third, "finetune")):
        assert same_weights(folder / name, finished / name), f"{name} differs from the run's"
        assert (folder / name / "metrics.jsonl").read_bytes() == (finished / name / "metrics.jsonl").read_bytes()
    assert (third / "report.json").is_file()


def test_a_finished_run_is_refused_then_resumed_without_training(finished: Path, cache: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("model.safetensors")}
    with pytest.raises(RequestError, match="already holds a run"):
        run(small_recipe(cache), finished)
    run(small_recipe(cache), finished, resume=True)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("model.safetensors")} == before


def test_another_recipe_does_not_go_on_with_a_run(finished: Path, cache: Path) -> None:
    with pytest.raises(RequestError, match="epochs: 2 -> epochs: 3"):
        run(small_recipe(cache, "embed.epochs=3"), finished, resume=True)


def test_other_images_do_not_go_on_with_a_run(finished: Path, cache: Path) -> None:
    path = finished / "manifest.csv"
    text = path.read_text()
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, "digest"] = "0" * 64
    table.to_csv(path, index=False)
    try:
        with pytest.raises(RequestError, match="have changed since"):
            run(small_recipe(cache), finished, resume=True)
    finally:
        path.write_text(text)


@pytest.mark.slow
def test_overwriting_starts_anew(finished: Path, cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, "embed=null", "finetune=null", "pretrain.epochs=1")
    out = run(recipe, tmp_path / "run")
    (out / "notes.txt").write_text("mine")
    first = (out / "pretrain" / "model.safetensors").stat().st_mtime_ns
    run(recipe, out, overwrite=True)
    assert (out / "pretrain" / "model.safetensors").stat().st_mtime_ns > first
    assert (out / "notes.txt").read_text() == "mine"


def test_a_run_without_classifier_is_scored_by_neighbours(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache, "pretrain=null", "finetune=null", "embed.epochs=1", "tracking.wandb=offline")
    out = run(recipe, tmp_path / "run")
    facts = json.loads((out / "report.json").read_text())
    votes = np.load(out / "embed" / "arrays" / "votes.npy")
    labels = np.load(out / "embed" / "arrays" / "labels.npy")
    assert facts["scores"]["accuracy"]["value"] == pytest.approx(accuracy_score(labels, votes.argmax(1)))
    assert any("vote" in note for note in facts["notes"])
    assert list((out / "wandb").rglob("*.wandb")), "offline tracking writes its file inside the run folder"
    assert list((out / "wandb").rglob("augmentation-*.png")), "what the augmentation does is shown there"


def test_a_nan_loss_ends_a_run_in_one_sentence(cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        cache, "pretrain.optimiser.lr=1e30", "pretrain.optimiser.clip_norm=0", "pretrain.optimiser.name=sgd"
    )
    with pytest.raises(CcxrError, match="pretrain: the loss is nan"):
        run(recipe, tmp_path / "run")


def test_a_name_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"'phantom' is none; read it first: recipe\.load\('phantom'\)"):
        run("phantom", tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
