"""Vectors that a run has are read only where they are of this model and of these images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.evaluation import cached_embeddings
from contrastive_cxr.evaluation.predictions import Outputs
from contrastive_cxr.phases.context import decode_settings
from contrastive_cxr.run_folder.recorded import recipe_of, reopen
from tests.run_folder.recorded_runs import images, record

MODEL = "a" * 64


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    root = images(tmp_path / "images", {"train": 2, "val": 1})
    record(tmp_path / "run", tmp_path / "cache", "data.source=folders", f"data.root={root}")
    return reopen(tmp_path / "run", recipe_of(tmp_path / "run"))


@pytest.fixture
def arrays(data: Dataset, tmp_path: Path) -> Path:
    """The arrays of a phase, with vectors of the training rows."""
    folder = tmp_path / "run" / "embed" / "arrays"
    folder.mkdir(parents=True)
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.save(folder / "train_vectors.npy", vectors)
    cached_embeddings.record(folder, Outputs(data.rows("train"), vectors, None, card={"sha256": MODEL}), data)
    return folder


def test_vectors_of_this_model_and_these_images_are_read(arrays: Path, data: Dataset) -> None:
    found = cached_embeddings.read(arrays, MODEL, data, data.rows("train"))
    assert found is not None
    assert found.tolist() == np.arange(12).reshape(6, 2).tolist()


def test_vectors_of_another_model_or_of_other_images_are_not(arrays: Path, data: Dataset) -> None:
    rows = data.rows("train")
    assert cached_embeddings.read(arrays, "b" * 64, data, rows) is None
    assert cached_embeddings.read(arrays, MODEL, data, rows[::-1]) is None, "another order"
    assert cached_embeddings.read(arrays, MODEL, data, rows[:5]) is None
    data.facts.loc[rows[0], "digest"] = "c" * 64
    assert cached_embeddings.read(arrays, MODEL, data, rows) is None, "a changed file"


@pytest.mark.parametrize("damage", ["cut", "short", "nan", "double", "no record", "no vectors", "a list"])
def test_damaged_vectors_are_made_again(arrays: Path, data: Dataset, damage: str) -> None:
    file, vectors = arrays / "train_vectors.npy", np.load(arrays / "train_vectors.npy")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "no record":
        (arrays / cached_embeddings.MADE).unlink()
    elif damage == "no vectors":
        file.unlink()
    elif damage == "a list":
        (arrays / cached_embeddings.MADE).write_text(json.dumps([MODEL]))
    else:
        made: dict[str, Any] = {"short": vectors[:5], "nan": vectors * np.nan, "double": vectors.astype(np.float64)}
        np.save(file, made[damage])
    assert cached_embeddings.read(arrays, MODEL, data, data.rows("train")) is None


def test_the_model_is_asked_only_where_it_must_be(
    arrays: Path, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, rows = recipe_of(tmp_path / "run"), data.rows("train")
    encoded = []

    def encode(*arguments: Any) -> Outputs:
        encoded.append(arguments)
        return Outputs(rows, np.zeros((6, 2), dtype=np.float32), None)

    monkeypatch.setattr(cached_embeddings, "outputs", encode)
    card = {"sha256": MODEL, "decode": decode_settings(recipe)}
    nothing: Any = None
    asked = Outputs(rows[:0], np.zeros((0, 2), dtype=np.float32), None, card=card)
    assert cached_embeddings.load_or_embed_train(recipe, data, nothing, arrays.parent, asked, rows).vectors.sum() == 66
    assert not encoded
    other = Outputs(rows[:0], asked.vectors, None, card=card | {"decode": {"cache_size": 999}})
    assert cached_embeddings.load_or_embed_train(recipe, data, nothing, arrays.parent, other, rows).vectors.sum() == 0
    assert len(encoded) == 1, "decoded otherwise than in training"
