"""A model as a folder of Hugging Face."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel


def phase(run: Path, name: str, classes: list[str], seed: int) -> None:
    model = schema.Model(backbone="timm/test_resnet", image_size=32)
    network = models.build(model, classes=len(classes), mean=0.5, std=0.25, seed=seed)
    card = {"classes": classes, "decode": {"cache_size": 32}, "channels_last": True, "phase": name, "task": "t"}
    weights.save(network, run / name, {**card, "tta": "crops" if classes else "none"})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    phase(tmp_path / "run", "embed", [], 0)
    phase(tmp_path / "run", "finetune", ["no", "yes"], 0)
    return tmp_path / "run"


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 40, 40), dtype=np.uint8)


def test_a_folder_is_the_model_again(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    model = EmbeddingModel.load(run)
    model.save_pretrained(tmp_path / "hf")
    again = EmbeddingModel.from_pretrained(str(tmp_path / "hf"))
    np.testing.assert_array_equal(again.embed(images), model.embed(images))
    np.testing.assert_array_equal(again.predict_proba(images), model.predict_proba(images))
    assert (again.classes, again.digest) == (("no", "yes"), model.digest), "a gallery of the run fits"
    head = safetensors.torch.load_file(tmp_path / "hf" / "classifier.safetensors")
    assert all(name.startswith("classifier.") for name in head), "what the encoder has is not kept twice"
    again.save_pretrained(tmp_path / "copy")
    for file in (tmp_path / "hf").iterdir():
        assert file.read_bytes() == (tmp_path / "copy" / file.name).read_bytes()


def test_a_classifier_of_other_weights_is_kept_whole(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    shutil.rmtree(run / "finetune")
    phase(run, "finetune", ["no", "yes"], 1)
    model = EmbeddingModel.load(run)
    model.save_pretrained(tmp_path / "hf")
    again = EmbeddingModel.from_pretrained(tmp_path / "hf")
    np.testing.assert_array_equal(again.embed(images), model.embed(images))
    np.testing.assert_array_equal(again.predict_proba(images), model.predict_proba(images))
    assert np.abs(again.classifier.embed(images) - again.embed(images)).max() > 1e-3


def test_one_phase_alone(run: Path, images: np.ndarray, tmp_path: Path) -> None:
    for name in ("embed", "finetune"):
        EmbeddingModel.load(run / name).save_pretrained(tmp_path / name)
        assert not (tmp_path / name / "classifier.safetensors").exists()
        again = EmbeddingModel.from_pretrained(tmp_path / name)
        assert again.classes == EmbeddingModel.load(run / name).classes
        np.testing.assert_array_equal(again.embed(images), EmbeddingModel.load(run / name).embed(images))


def test_the_readme_is_the_runs_card_and_names_no_place(run: Path, tmp_path: Path) -> None:
    EmbeddingModel.load(run).save_pretrained(tmp_path / "without")
    text = (tmp_path / "without" / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: contrastive_cxr\n")
    assert str(tmp_path) not in text
    (run / "model-card.md").write_text("# Model card: mine\n")
    EmbeddingModel.load(run).save_pretrained(tmp_path / "with")
    assert (tmp_path / "with" / "README.md").read_text().endswith("---\n# Model card: mine\n")
    assert str(tmp_path) not in (tmp_path / "with" / "config.json").read_text()


def test_damaged_files_are_refused_by_name(run: Path, tmp_path: Path) -> None:
    EmbeddingModel.load(run).save_pretrained(tmp_path / "hf")

    def refused(damage: dict[str, bytes | None], words: str) -> None:
        place = tmp_path / "broken"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(tmp_path / "hf", place)
        for name, content in damage.items():
            (place / name).unlink() if content is None else (place / name).write_bytes(content)
        with pytest.raises(RequestError, match=words):
            EmbeddingModel.from_pretrained(place)

    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    refused({"config.json": None}, r"config\.json is missing; give a folder that save_pretrained")
    refused({"config.json": b"{"}, r"config\.json is not JSON")
    refused({"model.safetensors": b"x"}, "is not the file that config.json describes")
    refused({"classifier.safetensors": b"x"}, r"classifier\.safetensors is missing, cut short or altered")
    refused({"classifier.safetensors": None}, r"classifier\.safetensors is missing, cut short or altered")
    other = config | {"classifier_card": config["classifier_card"] | {"classes": ["a", "b", "c"]}}
    refused({"config.json": json.dumps(other).encode()}, "does not fit its config.json")
    refused({"config.json": json.dumps(config | {"classifier_card": 3}).encode()}, "is no record of a model")
    refused({"config.json": json.dumps(config | {"decode": {"resize": "no"}}).encode()}, "is no record of a model")


@pytest.mark.parametrize(
    ("word", "said"),
    [("runs/a/b", "neither a folder nor a repository"), ("nobody/has-this", "hub cannot be reached"), ("", "neither")],
)
def test_a_word_that_is_no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, said: str) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RequestError, match=said):
        EmbeddingModel.from_pretrained(word)


def test_a_repository_in_the_hubs_cache_needs_no_network(
    run: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model, commit = EmbeddingModel.load(run), "0" * 40
    place = tmp_path / "hub" / "models--me--mine"
    model.save_pretrained(place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    again = EmbeddingModel.from_pretrained("me/mine", cache_dir=tmp_path / "hub")
    np.testing.assert_array_equal(again.predict_proba(images), model.predict_proba(images))
    with pytest.raises(RequestError, match="nor is it in the hub's cache"):
        EmbeddingModel.from_pretrained("me/mine", cache_dir=tmp_path / "hub", revision="other")


def test_a_push_without_a_network_is_one_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RequestError, match=r"save_pretrained\(FOLDER\) and push"):
        EmbeddingModel.load(run).push_to_hub("me/mine")
