from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from contrastive_cxr import augment, models
from contrastive_cxr.data.decoding.decode import decode, fit_square
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, embed_cached
from contrastive_cxr.retrieval.embedding import forward_all

DECODE = {"cache_size": 40, "resize": "pad", "border_crop": 0.05, "denoise": "median", "equalise": "histogram"}


def write(folder: Path, classes: Sequence[str] = (), **changes: Any) -> None:
    model = schema.Model(backbone="shufflenet_v2_x0_5", image_size=32)
    network = models.build(model, projection=(6,), classes=len(classes), mean=0.5, std=0.25, seed=len(classes))
    card = {"classes": list(classes), "decode": DECODE, "channels_last": True, "phase": "embed", "task": "t"}
    weights.save(network, folder, card | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write(folder / "embed")
    write(folder / "finetune", ("no", "yes"))
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> EmbeddingModel:
    return EmbeddingModel.load(run)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = []
    for number, shape in enumerate([(50, 40), (64, 90), (33, 33), (48, 48), (70, 41)]):
        paths.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(paths[-1])
    return paths


def test_paths_are_embedded_as_the_cache_is_filled(model: EmbeddingModel, pictures: list[Path]) -> None:
    settings = schema.Data(**DECODE)
    squares = [fit_square(decode(path, settings).grey, 40, "pad")[0] for path in pictures]
    network, _ = weights.load(model_folder(model, pictures))
    with torch.no_grad():
        cached = torch.from_numpy(np.stack(squares))[:, None]
        expected = network.embed(augment.plain(cached, 32)).numpy()
    vectors = model.embed(pictures)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, 6)
    assert np.array_equal(vectors, expected)
    assert np.array_equal(embed_cached(model.network, cached).numpy(), expected)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def model_folder(model: EmbeddingModel, pictures: list[Path]) -> Path:
    folder = pictures[0].parent / "again"
    weights.save(model.network, folder, {key: model.card[key] for key in
                                         ("classes", "decode", "channels_last", "phase", "task")})  # fmt: skip
    return folder


def test_every_kind_of_input_gives_the_same_vectors(model: EmbeddingModel, pictures: list[Path]) -> None:
    arrays = [np.asarray(Image.open(path)) for path in pictures]
    expected = model.embed(pictures)
    for inputs in (
        [str(path) for path in pictures],
        [Image.open(path) for path in pictures],
        arrays,
        [torch.from_numpy(array.copy()) for array in arrays],
        [array / 255 for array in arrays],
        [(array / 255).astype(np.float32) for array in arrays],
        [pictures[0], Image.open(pictures[1]), *arrays[2:]],
    ):
        assert np.array_equal(model.embed(inputs), expected)


def test_arrays_of_several_images(model: EmbeddingModel) -> None:
    stack = np.random.default_rng(1).integers(0, 256, (3, 30, 50), dtype=np.uint8)
    expected = model.embed(list(stack))
    assert np.array_equal(model.embed(stack), expected)
    assert np.array_equal(model.embed(stack[:, None]), expected)
    assert np.array_equal(model.embed(torch.from_numpy(stack)), expected)
    assert np.array_equal(model.embed(stack.astype(np.uint16) * 257), expected)
    np.testing.assert_allclose(model.embed(stack[1]), expected[1:2], atol=1e-5)


def test_batches_do_not_change_the_vectors(model: EmbeddingModel, pictures: list[Path]) -> None:
    np.testing.assert_allclose(model.embed(pictures, batch_size=2), model.embed(pictures), atol=1e-5)
    assert np.array_equal(model.embed(pictures[0]), model.embed([pictures[0]]))
    assert model.embed([]).shape == (0, 6)
    with pytest.raises(RequestError, match="batch_size=0"):
        model.embed(pictures, batch_size=0)


def test_autocast_around_it_changes_nothing(model: EmbeddingModel, pictures: list[Path]) -> None:
    expected = model.embed(pictures)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.array_equal(model.embed(pictures), expected)


def test_a_run_gives_its_embed_phase_and_a_phase_itself(run: Path, model: EmbeddingModel, tmp_path: Path) -> None:
    assert model.card["classes"] == []
    assert EmbeddingModel.load(run / "embed").classes == ()
    assert model.size == 6
    assert model.digest == json.loads((run / "embed" / "model.json").read_text())["sha256"]
    assert EmbeddingModel.load(run / "finetune").classes == ("no", "yes")
    write(tmp_path / "pretrain")
    write(tmp_path / "finetune", ("no", "yes"))
    assert EmbeddingModel.load(tmp_path).classes == ("no", "yes")


def test_probabilities_and_features(run: Path, model: EmbeddingModel, pictures: list[Path]) -> None:
    head = EmbeddingModel.load(run / "finetune")
    probabilities = head.predict(pictures)
    vectors = torch.from_numpy(head.embed(pictures))
    with torch.no_grad():
        logits = head.network.head(vectors).double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert head.features(pictures).shape == (5, 1024)
    with pytest.raises(RequestError, match="no classifier"):
        EmbeddingModel.load(run / "embed").predict(pictures)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (np.zeros((4, 30, 30), np.int64), "type int64"),
        (np.zeros((2, 3, 30, 30), np.uint8), r"shape \[2, 3, 30, 30\]"),
        (np.zeros((30, 30, 3), np.uint8), "colour as PIL"),
        (np.zeros(30, np.uint8), r"shape \[30\]"),
        (np.zeros((0, 30), np.uint8), r"shape \[0, 30\]"),
        (np.full((30, 30), 255.0), "scale them to 0..1"),
        (np.full((30, 30), np.nan), "scale them to 0..1"),
        (torch.full((30, 30), -0.1), "scale them to 0..1"),
    ],
)
def test_arrays_that_are_no_images(model: EmbeddingModel, inputs: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        model.embed(inputs)


def test_each_unreadable_picture_is_named(model: EmbeddingModel, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(RequestError) as caught:
        model.embed([tmp_path / "missing.png", pictures[0], tmp_path / "text.png"])
    assert len(caught.value.faults) == 2
    assert "missing.png" in caught.value.faults[0]
    assert "text.png" in caught.value.faults[1]


def test_a_record_that_does_not_say_how_to_decode(tmp_path: Path) -> None:
    write(tmp_path, decode={"cache_size": 40, "resiz": "pad"})
    with pytest.raises(RequestError, match=r"does not say how to decode: resiz"):
        EmbeddingModel.load(tmp_path)


CACHED = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 1, 40, 40), dtype=np.uint8))


def test_answer_is_embedding_and_probabilities_in_one_pass(run: Path, model: EmbeddingModel) -> None:
    head = EmbeddingModel.load(run / "finetune")
    found = forward_all(head.network, CACHED)
    images = augment.plain(CACHED, 32)
    with torch.no_grad():
        assert torch.equal(found.embedding, head.network.embed(images))
        assert found.probabilities is not None
        assert torch.equal(found.probabilities, head.network.logits(images).softmax(dim=1))
    assert found.hidden is not None
    assert torch.equal(found.hidden, found.embedding), "one linear layer on the embedding"
    assert found.averaged is None
    bare = forward_all(model.network, CACHED)
    assert torch.equal(bare.embedding, embed_cached(model.network, CACHED))
    assert (bare.hidden, bare.probabilities) == (None, None)


def test_the_last_hidden_layer_is_what_the_last_linear_is_given() -> None:
    model = schema.Model(backbone="shufflenet_v2_x0_5", image_size=32)
    network = models.build(model, classes=3, hidden=(5,), mean=0.5, std=0.25, seed=1).eval()
    found = forward_all(network, CACHED, "sigmoid")
    assert network.classifier is not None
    assert found.hidden is not None
    assert found.probabilities is not None
    with torch.no_grad():
        features = network.features(augment.plain(CACHED, 32)).numpy()
    state = {name: tensor.numpy() for name, tensor in network.classifier.state_dict().items()}
    first, last = sorted({name.split(".")[0] for name in state})
    hidden = np.maximum(features @ state[f"{first}.weight"].T + state[f"{first}.bias"], 0)
    np.testing.assert_allclose(found.hidden.numpy(), hidden, atol=1e-5)
    shares = 1 / (1 + np.exp(-(hidden @ state[f"{last}.weight"].T + state[f"{last}.bias"])))
    np.testing.assert_allclose(found.probabilities.numpy(), shares / shares.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize(("name", "count"), [("mirror-turn", 3), ("equalise-shift", 3), ("crops", 3), ("wide", 5)])
def test_test_time_augmentation_is_the_mean_over_its_views(name: str, count: int) -> None:
    network = models.build(
        schema.Model(backbone="resnet18", image_size=32), classes=2, mean=0.5, std=0.25, seed=0
    ).eval()
    assert network.classifier is not None
    head = EmbeddingModel(network, {"classes": ["no", "yes"], "decode": DECODE})
    with torch.no_grad():
        network.classifier[-1].weight.mul_(20)  # an untrained network hardly tells the views apart
        each = [network.logits(view).softmax(dim=1) for view in augment.views(CACHED, 32, name)]
    assert len(each) == count
    assert not torch.allclose(each[0], sum(each) / count, atol=0.02)
    found = forward_all(head.network, CACHED, tta=name)
    assert found.averaged is not None
    torch.testing.assert_close(found.averaged, sum(each) / count, rtol=0, atol=1e-3)
    assert found.probabilities is not None
    torch.testing.assert_close(found.probabilities, each[0], rtol=0, atol=1e-3)
    squares = CACHED[:, 0].numpy()
    plain, averaged = head.predict(squares), head.predict(squares, tta=name)
    assert plain.shape == averaged.shape == (3, 2)
    assert not np.allclose(plain, averaged, atol=0.02)


def test_the_link_of_the_card_makes_the_probabilities(tmp_path: Path, pictures: list[Path]) -> None:
    found = {}
    for link in ("softmax", "sigmoid", "margin"):
        write(tmp_path / link, ("no", "yes"), link=link)
        model = EmbeddingModel.load(tmp_path / link)
        found[link] = model.predict(pictures)
        with torch.no_grad():
            logits = model.network.head(torch.from_numpy(model.embed(pictures))).numpy()
        if link != "softmax":
            shares = 1 / (1 + np.exp(-logits * (2 if link == "margin" else 1)))
            np.testing.assert_allclose(found[link], shares / shares.sum(1, keepdims=True), atol=1e-6)
    assert not np.allclose(found["softmax"], found["sigmoid"], atol=1e-4)


def test_a_card_from_before_the_links_is_a_softmax(run: Path, tmp_path: Path, pictures: list[Path]) -> None:
    write(tmp_path, ("no", "yes"))
    card = json.loads((tmp_path / "model.json").read_text())
    for name in ("link", "costs", "tta"):
        del card[name]
    (tmp_path / "model.json").write_text(json.dumps(card))
    old = EmbeddingModel.load(tmp_path)
    np.testing.assert_array_equal(old.predict(pictures), EmbeddingModel.load(run / "finetune").predict(pictures))
    assert (old.card["link"], old.card["costs"], old.card["tta"]) == ("softmax", {}, "none")
