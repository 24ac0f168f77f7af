"""A wrong request: exit code 2, sentences instead of a traceback, nothing written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small import overrides

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def refused(ccxr: Call, cache: Path, tmp_path: Path) -> Callable[..., str]:
    """`refused(*words) -> stderr` of `ccxr run phantom` made small, after the checks that every refusal passes."""

    def call(*words: str, command: str = "run") -> str:
        out = tmp_path / "out"
        code, _, said = ccxr(command, "phantom", *overrides(cache), *words, "--out", out)
        assert code == 2, f"exit code {code}, {said}"
        assert "Traceback" not in said
        assert all(line.startswith("error: ") for line in said.splitlines()), said
        assert not out.exists(), "a refused run leaves nothing"
        return said

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Class folders of a phantom-like data set, 8 grey images a class, no split."""
    root, rng = tmp_path / "images", np.random.default_rng(0)
    for name in ("normal", "nodule", "opacity"):
        (root / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def test_wrong_keys_and_types_are_told_together(refused: Callable[..., str]) -> None:
    said = refused("pretrain.epoch=3", "embed.margin=5", "finetune.epochs=many")
    assert "did you mean 'epochs'" in said
    assert "embed.margin" in said
    assert "finetune.epochs" in said
    assert len(said.splitlines()) == 3


def test_an_unknown_recipe_names_the_nearest(ccxr: Call) -> None:
    code, _, said = ccxr("run", "xray/three-clas")
    assert code == 2
    assert "did you mean 'xray/three-class'" in said


def test_the_wrong_folder_and_the_wrong_data_are_told_together(ccxr: Call, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    words = (*overrides(cache), "data.source=folders", f"data.root={tmp_path / 'nowhere'}")
    code, _, said = ccxr("run", "phantom", *words, "--out", out)
    assert code == 2
    assert "holds no run" in said
    assert "nowhere does not exist" in said
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_block_that_the_backbone_lacks(refused: Callable[..., str]) -> None:
    said = refused("pretrain.trainable=[denseblock3, classifier]", "embed.trainable=[layer5, projection]")
    assert "pretrain.trainable" in said
    assert "'denseblock3'" in said
    assert "did you mean 'layer" in said


def test_an_unknown_backbone(refused: Callable[..., str]) -> None:
    assert "did you mean 'resnet18'" in refused("model.backbone=resnet81", "embed.trainable=null", "finetune=null")


def test_more_classes_in_a_batch_than_the_task_has(refused: Callable[..., str]) -> None:
    assert "4 is more than the 3 classes" in refused("embed.classes_per_batch=4")


def test_more_images_of_a_class_than_there_are(refused: Callable[..., str]) -> None:
    said = refused("embed.images_per_class=50")
    assert "images_per_class is 50" in said
    assert "'nodule' has" in said


def test_distance_weighted_mining_with_cosine_distance(refused: Callable[..., str]) -> None:
    assert "embed.distance=euclidean" in refused("embed.mining=distance-weighted", "embed.distance=cosine")


def test_a_root_of_another_layout(refused: Callable[..., str], folder: Path) -> None:
    assert "not laid out as COVID-CT" in refused("data.source=covid-ct", f"data.root={folder}")
    assert "needs" in refused("data.source=csv", f"data.root={folder}", "data.csv=labels.csv") or True


def test_an_empty_root(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is empty" in refused("data.source=folders", f"data.root={tmp_path / 'empty'}")


def test_labels_of_another_task(refused: Callable[..., str], folder: Path) -> None:
    said = refused("data.source=folders", f"data.root={folder}", "task=ct")
    assert "label 'normal' (8 images) is not in task 'ct'" in said


def test_one_class_only(refused: Callable[..., str], folder: Path) -> None:
    shutil.rmtree(folder / "nodule")
    shutil.rmtree(folder / "opacity")
    said = refused("data.source=folders", f"data.root={folder}")
    assert "class 'nodule' of task 'phantom' has no image" in said
    assert "class 'opacity' of task 'phantom' has no image" in said


def test_every_unreadable_image_is_named(refused: Callable[..., str], folder: Path) -> None:
    (folder / "normal" / "3.png").write_bytes(b"no picture")
    (folder / "opacity" / "5.png").write_bytes(b"no picture either")
    said = refused("data.source=folders", f"data.root={folder}")
    assert "normal/3.png" in said
    assert "opacity/5.png" in said
    assert "data.on_bad_image=skip" in said


def test_weights_that_are_not_there(refused: Callable[..., str]) -> None:
    assert "'no/such/weights.pth' does not exist" in refused("model.weights=no/such/weights.pth")


def test_no_network_for_imagenet_weights(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    # a proxy that nobody listens to stands for a missing network
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    said = refused("model.weights=imagenet")
    assert "model.weights=imagenet" in said
    assert "model.weights=none" in said
    assert len(said.splitlines()) == 1


def test_a_phase_that_the_recipe_lacks(refused: Callable[..., str]) -> None:
    assert "has no embed phase" in refused("embed=null", command="embed")


def test_a_later_phase_without_its_start(refused: Callable[..., str]) -> None:
    assert "give --from RUN" in refused(command="embed")


def test_from_is_no_start_of_the_first_phase(refused: Callable[..., str], finished: Path) -> None:
    assert f"use model.weights={finished}" in refused("--from", str(finished), command="pretrain")


def test_from_a_folder_without_a_model(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "holds no finished" in refused("--from", str(tmp_path), command="embed")


def test_from_a_broken_model(refused: Callable[..., str], finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "pretrain", tmp_path / "broken" / "pretrain")
    file = tmp_path / "broken" / "pretrain" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "cut short or altered" in refused("--from", str(tmp_path / "broken"), command="embed")


def test_from_another_task_and_backbone(refused: Callable[..., str], finished: Path) -> None:
    said = refused("--from", str(finished), "task=phantom/lesion", "model.backbone=resnet34", command="embed")
    assert "its task is phantom, the recipe's is phantom/lesion" in said
    assert "its backbone is timm/test_resnet, the recipe's is resnet34" in said


def test_phases_of_a_cascade_alone(refused: Callable[..., str]) -> None:
    assert "run together" in refused("cascade={stage1: phantom/lesion, stage2: phantom/opacity}", command="pretrain")


def test_a_folder_that_holds_a_run(ccxr: Call, finished: Path, cache: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in finished.rglob("*"))
    code, _, said = ccxr("run", "phantom", *overrides(cache), "--out", finished)
    assert code == 2
    assert "--resume goes on with it, --overwrite replaces it" in said
    code, _, said = ccxr("run", "phantom", *overrides(cache, "seed=7"), "--out", finished, "--resume")
    assert code == 2
    assert "seed: 0 -> seed: 7" in said
    code, _, said = ccxr("run", "phantom", *overrides(cache), "--out", finished, "--resume", "--overwrite")
    assert code == 2
    assert "exclude each other" in said
    assert sorted((path, path.stat().st_mtime_ns) for path in finished.rglob("*")) == before


def test_overwriting_what_from_names(ccxr: Call, finished: Path, cache: Path) -> None:
    run = ("phantom", *overrides(cache), "--out", finished, "--overwrite")
    for words, fault in (
        (("embed", *run, "--from", finished), "--overwrite would remove what --from"),
        (("run", *run, f"model.weights={finished / 'embed'}"), "--overwrite would remove what model.weights"),
        (("embed", *run), "give --from RUN"),
    ):
        code, _, said = ccxr(*words)
        assert code == 2
        assert fault in said
    assert (finished / "pretrain" / "model.safetensors").is_file()


def test_evaluate_of_no_run(ccxr: Call, tmp_path: Path) -> None:
    code, _, said = ccxr("evaluate", tmp_path)
    assert code == 2
    assert "is no run folder" in said


def test_evaluate_of_a_split_that_is_not_there(ccxr: Call, finished: Path) -> None:
    code, _, said = ccxr("evaluate", finished, "--split", "tets")
    assert code == 2
    assert "train, val" in said


def test_predictions_over_an_existing_file(ccxr: Call, finished: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "said.csv"
    out.write_text("mine")
    code, _, said = ccxr("predict", finished, folder, "--out", out)
    assert code == 2
    assert "exists" in said
    assert out.read_text() == "mine"


def test_predictions_of_unreadable_images(ccxr: Call, finished: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "normal" / "3.png").write_bytes(b"no picture")
    code, _, said = ccxr("predict", finished, folder, "--out", tmp_path / "said.csv")
    assert code == 2
    assert "normal/3.png" in said
    assert not (tmp_path / "said.csv").exists()


def test_predictions_of_a_run_without_classifier(ccxr: Call, finished: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "embed", tmp_path / "run" / "embed")
    code, _, said = ccxr("predict", tmp_path / "run", folder, "--out", tmp_path / "said.csv")
    assert code == 2
    assert "no classifier" in said


def test_a_device_that_is_not_there(ccxr: Call, finished: Path, folder: Path, tmp_path: Path) -> None:
    code, _, said = ccxr("encode", finished, folder, "--out", tmp_path / "said.npy", "--device", "tpu")
    assert code == 2
    assert "tpu" in said


def test_recipes_that_are_not_shipped(ccxr: Call, tmp_path: Path) -> None:
    code, _, said = ccxr("recipes", "show", "phantoms")
    assert code == 2
    assert "did you mean 'phantom'" in said
    assert ccxr("recipes", "burn")[0] == 2


def test_folds_and_seeds_together(ccxr: Call, cache: Path, tmp_path: Path) -> None:
    assert ccxr("run", "phantom", "--folds", "2", "--seeds", "2", "--out", tmp_path / "out")[0] == 2
    assert not (tmp_path / "out").exists()
