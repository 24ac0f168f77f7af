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
from contrastive_cxr.data.decode import decode, fit_square
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, embed_cached
from contrastive_cxr.retrieval.embedding import answer

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
    assert model.classes == ()
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
        model.predict(pictures)


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


def test_answer_is_embedding_and_probabilities_in_one_pass(
    run: Path, model: EmbeddingModel, pictures: list[Path]
) -> None:
    head = EmbeddingModel.load(run / "finetune")
    cached = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 1, 40, 40), dtype=np.uint8))
    both = answer(head.network, cached)
    images = augment.plain(cached, 32)
    with torch.no_grad():
        assert torch.equal(both[:, :6], head.network.embed(images))
        assert torch.equal(both[:, 6:], head.network.logits(images).softmax(dim=1))
    assert torch.equal(answer(model.network, cached), embed_cached(model.network, cached))
