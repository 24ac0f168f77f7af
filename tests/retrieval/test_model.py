"""A run as a model: it embeds by one phase, predicts by another, and says what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval import EmbeddingModel, Gallery
from contrastive_cxr.retrieval.model import device_of
from tests.retrieval.test_embedding import write


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write(folder / "pretrain", ("no", "yes"))
    write(folder / "embed")
    write(folder / "finetune", ("no", "maybe", "yes"), tta="mirror-turn")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8)).save(path)
    return paths


def test_a_run_predicts_by_its_classifier_and_embeds_by_its_embedding(run: Path, pictures: list[Path]) -> None:
    model, head = EmbeddingModel.load(run), EmbeddingModel.load(run / "finetune")
    assert model.digest == EmbeddingModel.load(run / "embed").digest
    assert model.classes == ("no", "maybe", "yes")
    np.testing.assert_array_equal(model.predict(pictures), head.predict(pictures))
    np.testing.assert_array_equal(model.predict_proba(pictures), head.predict(pictures, tta="mirror-turn"))
    assert not np.array_equal(model.predict_proba(pictures), head.predict(pictures))
    np.testing.assert_array_equal(model.embed(pictures), EmbeddingModel.load(run / "embed").embed(pictures))


def test_without_finetune_the_pretrained_classifier_predicts(tmp_path: Path, pictures: list[Path]) -> None:
    write(tmp_path / "pretrain", ("no", "yes"))
    write(tmp_path / "embed")
    model = EmbeddingModel.load(tmp_path)
    expected = EmbeddingModel.load(tmp_path / "pretrain").predict(pictures)
    np.testing.assert_array_equal(model.predict(pictures), expected)


def test_without_a_classifier_the_error_says_what_to_load(run: Path, tmp_path: Path, pictures: list[Path]) -> None:
    write(tmp_path / "embed")
    for folder in (run / "embed", tmp_path):
        model = EmbeddingModel.load(folder)
        assert model.classes == ()
        with pytest.raises(RequestError, match="finetune or pretrain phase"):
            model.predict_proba(pictures)


def test_the_repr_says_what_it_is(run: Path) -> None:
    said = repr(EmbeddingModel.load(run))
    for word in (str(run / "embed"), "shufflenet_v2_x0_5", "32 x 32", "embedding of 6", "no, maybe, yes (by finetune)"):
        assert word in said
    assert "(by" not in repr(EmbeddingModel.load(run / "finetune"))
    assert "no classifier" in repr(EmbeddingModel.load(run / "embed"))


def test_data_frames_name_files_and_columns(run: Path, pictures: list[Path]) -> None:
    model = EmbeddingModel.load(run)
    table = model.predict_proba(pictures, as_frame=True)
    assert list(table.columns) == ["no", "maybe", "yes"]
    assert list(table.index) == [str(path) for path in pictures]
    np.testing.assert_array_equal(table.to_numpy(), model.predict_proba(pictures))
    vectors = model.transform(np.zeros((2, 32, 32), np.uint8), as_frame=True)
    assert list(vectors.columns) == [f"embedding{number}" for number in range(6)]
    assert list(vectors.index) == [0, 1]


def test_it_is_a_step_of_a_scikit_learn_pipeline(run: Path, pictures: list[Path]) -> None:
    model, labels = EmbeddingModel.load(run), [0, 1, 0, 1]
    files = [str(path) for path in pictures]
    pipeline = make_pipeline(model, LogisticRegression()).fit(files, labels)
    expected = LogisticRegression().fit(model.embed(files), labels).predict_proba(model.embed(files))
    np.testing.assert_allclose(pipeline.predict_proba(files), expected, atol=1e-6)


def test_auto_is_a_gpu_where_there_is_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert EmbeddingModel.load(run, device="auto").device == torch.device("cpu")
    for word in ("gpu", "cuda"):
        with pytest.raises(RequestError, match="give"):
            EmbeddingModel.load(run, device=word)


def test_a_search_is_one_table(run: Path, pictures: list[Path]) -> None:
    model = EmbeddingModel.load(run)
    gallery = Gallery.build(model, pd.DataFrame({"path": [str(path) for path in pictures], "label": list("abab")}))
    found = gallery.search(model.embed(pictures[:2]), k=3)
    table = found.as_frame()
    assert list(table["query"]) == [0, 0, 0, 1, 1, 1]
    assert list(table["place"]) == [1, 2, 3, 1, 2, 3]
    pd.testing.assert_frame_equal(table.iloc[3:, 2:].reset_index(drop=True), found.of(1))
