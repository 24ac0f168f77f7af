from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contrastive_cxr import models
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.metrics import scores
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, Gallery, gallery_files
from contrastive_cxr.retrieval.model import Vectors

MODEL_A, MODEL_B = "a" * 64, "b" * 64


def unit(count: int, seed: int, size: int = 8) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def table(count: int = 40) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": np.arange(count) * 10 + 3,
            "label": [f"class {number % 3}" for number in range(count)],
            "patient": ["" if number % 4 == 0 else f"P{number % 7}" for number in range(count)],
            "path": [f"{number}.png" for number in range(count)],
            "split": "train",
            "age": np.arange(count) + 20,
        }
    )


@pytest.fixture
def gallery() -> Gallery:
    return Gallery.build(unit(40, 0), table(), MODEL_A)


def slow(vectors: Vectors, rows: pd.DataFrame, query: Any, k: int, patient: str = "") -> list[tuple[float, int]]:
    """(distance, id) by a loop over all rows."""
    found = []
    for vector, (_, row) in zip(vectors.astype(np.float64), rows.iterrows(), strict=True):
        if patient == "" or row["patient"] != patient:
            found.append((float(np.sqrt(((vector - query) ** 2).sum())), int(row["id"])))
    return sorted(found)[:k]


def test_search_is_brute_force(gallery: Gallery) -> None:
    queries = unit(6, 1)
    result = gallery.search(queries, k=7)
    rows = table().set_index("id")
    for place, query in enumerate(queries.astype(np.float64)):
        expected = slow(gallery.vectors, table(), query, 7)
        assert result.ids[place].tolist() == [number for _, number in expected]
        np.testing.assert_allclose(result.distances[place], [distance for distance, _ in expected], atol=1e-6)
        for column, found in (("label", result.labels), ("path", result.paths), ("patient", result.patients)):
            assert found[place].tolist() == rows.loc[result.ids[place], column].tolist()
    assert result.ids.dtype == np.int64
    assert result.distances.dtype == np.float32
    cosines = np.einsum("qd,qkd->qk", queries, gallery.vectors[(result.ids - 3) // 10])
    np.testing.assert_allclose(result.distances, np.sqrt(2 - 2 * cosines), atol=1e-3)


def test_own_patients_are_passed_over_and_k_is_still_filled(gallery: Gallery) -> None:
    queries, patients = unit(4, 2), ["P1", "", "P6", "nobody"]
    result = gallery.search(queries, k=30, exclude_patients=patients)
    for place, patient in enumerate(patients):
        expected = slow(gallery.vectors, table(), queries[place].astype(np.float64), 30, patient)
        assert result.ids[place].tolist() == [number for _, number in expected]
        assert patient == "" or patient not in result.patients[place]


def test_where_too_few_are_left_the_places_are_empty() -> None:
    gallery = Gallery.build(unit(4, 0), pd.DataFrame({"patient": ["A", "A", "A", "B"], "label": list("wxyz")}))
    result = gallery.search(unit(2, 1), k=3, exclude_patients=["A", ""])
    assert result.counts.tolist() == [1, 3]
    assert result.ids[0].tolist() == [3, None, None]
    assert result.labels[0].tolist() == ["z", None, None]
    assert not (np.ma.getdata(result.ids) < 0).any()  # -1 would be the last row to whoever uses it
    assert result.of(0)[["id", "label"]].to_numpy().tolist() == [[3, "z"]]
    assert "1 of 2 queries have fewer than the 3 neighbours" in result.words


def test_k_above_the_size_gives_all(gallery: Gallery) -> None:
    result = gallery.search(unit(2, 1), k=1000)
    assert result.ids.shape == (2, 40)
    assert all(len(set(row)) == 40 for row in result.ids.tolist())
    assert "2 of 2 queries have fewer than the 1000 neighbours" in result.words
    assert gallery.search(unit(2, 1), k=40).words == ""


def test_itself_is_at_distance_zero_and_ties_go_by_row() -> None:
    vectors = np.repeat(unit(3, 0), 2, axis=0)
    result = Gallery.build(vectors, pd.DataFrame(index=range(6))).search(vectors[2], k=2)
    assert result.ids.tolist() == [[2, 3]]
    assert result.distances.tolist() == [[0.0, 0.0]]


def test_no_queries_give_no_results(gallery: Gallery) -> None:
    assert gallery.search(np.empty((0, 8), np.float32), k=3).ids.shape == (0, 3)


@pytest.mark.parametrize(
    ("queries", "settings", "words"),
    [
        (unit(2, 0, size=9), {}, "9 dimensions, the gallery 8"),
        (unit(2, 0) * 2, {}, "length 2, expected 1"),
        (np.full((2, 8), np.nan, np.float32), {}, "queries hold NaN or infinity in row 0"),
        (np.zeros((2, 8), np.int64), {}, "give floats"),
        (np.zeros((1, 2, 8)), {}, "give floats"),
        (unit(2, 0), {"k": 0}, "k=0"),
        (unit(2, 0), {"exclude_patients": ["A"]}, "1 patients for 2 queries"),
        (unit(2, 0), {"model_digest": MODEL_B}, "vectors of two models"),
    ],
)
def test_queries_that_cannot_be_answered(
    gallery: Gallery, queries: Vectors, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        gallery.search(queries, **settings)


@pytest.mark.parametrize(
    ("vectors", "rows", "words"),
    [
        (unit(3, 0), table(4), "3 vectors for 4 rows"),
        (unit(0, 0), table(0), "no rows"),
        (unit(2, 0), pd.DataFrame({"id": [1, 1]}), "ids repeat"),
        (unit(2, 0), pd.DataFrame({"id": ["a", "b"]}), "no whole numbers"),
        (unit(2, 0) + 0.1, table(2), "expected 1"),
    ],
)
def test_galleries_that_cannot_be_built(vectors: Vectors, rows: pd.DataFrame, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Gallery.build(vectors, rows)


def test_a_gallery_comes_back_bit_for_bit(gallery: Gallery, tmp_path: Path) -> None:
    gallery.rows.loc[1, ["label", "path"]] = ['NA, "quoted"\nand more', "ä b.png"]
    gallery.save(tmp_path / "deep" / "gallery")
    loaded = Gallery.load(tmp_path / "deep" / "gallery")
    assert np.array_equal(loaded.vectors, gallery.vectors)
    pd.testing.assert_frame_equal(loaded.rows, gallery.rows)
    assert loaded.model_digest == MODEL_A
    assert len(loaded) == 40
    first, second = gallery.search(unit(3, 5)), loaded.search(unit(3, 5), model_digest=MODEL_A)
    assert np.array_equal(first.ids, second.ids)
    assert np.array_equal(first.distances, second.distances)
    record = json.loads((tmp_path / "deep" / "gallery" / "gallery.json").read_text())
    assert (record["count"], record["dimensions"], record["model"], record["format"]) == (40, 8, MODEL_A, 2)
    names = sorted(path.name for path in (tmp_path / "deep" / "gallery").iterdir())
    assert names == ["gallery.json", "rows.csv", "vectors.npy"]


def lie(folder: Path, **changes: Any) -> None:
    """Change the record; the digests are made to fit, so that only the lie itself is wrong."""
    record = json.loads((folder / "gallery.json").read_text())
    for key, name in (("vectors_sha256", "vectors.npy"), ("rows_sha256", "rows.csv")):
        record[key] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "gallery.json").write_text(json.dumps(record | {"stamps": {}} | changes))


@pytest.mark.parametrize("name", ["vectors.npy", "rows.csv", "gallery.json"])
def test_a_missing_file_is_named(gallery: Gallery, tmp_path: Path, name: str) -> None:
    gallery.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(RequestError, match=f"{name} is missing"):
        Gallery.load(tmp_path)


@pytest.mark.parametrize("name", ["vectors.npy", "rows.csv"])
def test_an_altered_file_is_refused(gallery: Gallery, tmp_path: Path, name: str) -> None:
    gallery.save(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[-2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=f"{name} is not the file"):
        Gallery.load(tmp_path)


def test_other_counts_than_recorded_are_refused(gallery: Gallery, tmp_path: Path) -> None:
    gallery.save(tmp_path)
    lie(tmp_path, count=39)
    with pytest.raises(RequestError, match="says 39 rows"):
        Gallery.load(tmp_path)
    lie(tmp_path, count=40, dimensions=9)
    with pytest.raises(RequestError, match="of 9 numbers"):
        Gallery.load(tmp_path)
    lines = (tmp_path / "rows.csv").read_text().splitlines(keepends=True)
    (tmp_path / "rows.csv").write_text("".join(lines[:-1]))
    lie(tmp_path, dimensions=8)
    with pytest.raises(RequestError, match=r"39 in rows.csv"):
        Gallery.load(tmp_path)
    lie(tmp_path, metric="cosine")
    with pytest.raises(RequestError, match="metric"):
        Gallery.load(tmp_path)
    (tmp_path / "gallery.json").write_text("{")
    with pytest.raises(RequestError, match="not JSON"):
        Gallery.load(tmp_path)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("form", ["object array", "pickle"])
def test_pickles_are_refused_and_not_opened(gallery: Gallery, tmp_path: Path, form: str) -> None:
    gallery.save(tmp_path)
    trap = Trap(tmp_path / "sprung")
    if form == "pickle":
        (tmp_path / "vectors.npy").write_bytes(pickle.dumps(trap))
    else:
        np.save(tmp_path / "vectors.npy", np.array([trap], dtype=object), allow_pickle=True)
    lie(tmp_path)
    with pytest.raises(RequestError, match="unreadable"):
        Gallery.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingModel:
    folder = tmp_path_factory.mktemp("model")
    network = models.build(schema.Model(backbone="shufflenet_v2_x0_5", image_size=32), mean=0.5, std=0.25, seed=0)
    card = {"classes": [], "decode": {"cache_size": 32}, "channels_last": False, "phase": "pretrain", "task": "t"}
    weights.save(network, folder, card)
    return EmbeddingModel.load(folder)


def test_a_model_fills_the_gallery_and_asks_it(model: EmbeddingModel, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 32, 32), dtype=np.uint8)
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    rows = table(5).assign(root=str(tmp_path))
    gallery = Gallery.build(model, rows)
    assert gallery.model_digest == model.digest
    assert np.array_equal(gallery.vectors, model.embed(images))
    result = gallery.search_images(model, images, k=2)
    assert result.ids[:, 0].tolist() == rows["id"].tolist()
    assert result.distances[:, 0].max() == 0
    with pytest.raises(RequestError, match="vectors of two models"):
        Gallery.build(gallery.vectors, rows, MODEL_B).search_images(model, images)


def test_a_gallery_of_unknown_model_takes_any_query() -> None:
    gallery = Gallery.build(unit(3, 0), table(3))
    gallery.check_model(MODEL_B)
    assert gallery.search(unit(1, 1), k=1, model_digest=MODEL_B).ids.shape == (1, 1)


def test_a_gallery_of_the_first_format_is_read(gallery: Gallery, tmp_path: Path) -> None:
    gallery.save(tmp_path)
    later = ("preprocessing", "made_by", "kind", "familiar", "stamps")
    record = json.loads((tmp_path / "gallery.json").read_text())
    first = {name: value for name, value in record.items() if name not in later} | {"format": 1}
    (tmp_path / "gallery.json").write_text(json.dumps(first))
    assert Gallery.load(tmp_path).search(unit(2, 5)).ids.tolist() == gallery.search(unit(2, 5)).ids.tolist()
    (tmp_path / "gallery.json").write_text(json.dumps(first | {"format": 3}))
    with pytest.raises(RequestError, match="format"):
        Gallery.load(tmp_path)


def test_a_large_file_is_believed_by_its_time_and_digested_when_asked(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_files, "DIGESTED", 1)
    gallery.save(tmp_path)
    path, seen = tmp_path / "vectors.npy", (tmp_path / "vectors.npy").stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))  # as nothing but intent would do
    assert len(Gallery.load(tmp_path)) == 40
    with pytest.raises(RequestError, match=r"vectors.npy is not the file"):
        Gallery.load(tmp_path, verify=True)
    os.utime(path)
    with pytest.raises(RequestError, match=r"vectors.npy is not the file"):
        Gallery.load(tmp_path)


def test_rows_of_a_large_table_are_read_when_they_are_wanted(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_files, "DIGESTED", 1)
    gallery.save(tmp_path)
    loaded = Gallery.load(tmp_path)
    (tmp_path / "rows.csv").write_text("id\n1\n")
    with pytest.raises(RequestError, match="says 40 rows, but there are 1"):
        loaded.search(unit(1, 0))


def test_nothing_changes_where_saving_fails(gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    gallery.remove([3])

    def full(path: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gallery_files, "digest", full)
    with pytest.raises(CcxrError, match=r"No space left on device .*; nothing was changed"):
        gallery.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_preprocessing_is_refused(model: EmbeddingModel, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "0.png")
    gallery = Gallery.build(model, pd.DataFrame({"root": [str(tmp_path)], "path": ["0.png"]}))
    gallery.save(tmp_path / "gallery")
    loaded = Gallery.load(tmp_path / "gallery")
    loaded.search_images(model, image, k=1)
    with pytest.raises(RequestError, match=r"read with mean=0\.5, these queries with mean=0\.25"):
        loaded.check_model(model.digest, model.preprocessing | {"mean": 0.25})


def test_the_vote_is_a_slow_loop(gallery: Gallery) -> None:
    queries = unit(5, 9)
    classes = ["class 2", "class 0"]  # class 1 does not vote
    found = gallery.classify(queries, classes, k=6)
    for row, query in zip(found, queries, strict=True):
        shares = dict.fromkeys(classes, 0.0)
        for distance, number in slow(gallery.vectors, table(), query, 6):
            label = f"class {(number - 3) // 10 % 3}"
            if label in shares:
                shares[label] += math.exp((1 - distance**2 / 2) / 0.07)
        total = sum(shares.values())
        assert row.tolist() == pytest.approx([shares[name] / total for name in classes], rel=1e-4)
    scored = scores.classification(
        gallery.classify(queries, ["class 0", "class 1"]), np.array([0, 1, 0, 1, 1]), ["a", "b"], 1, resamples=20
    )
    assert scored["n"] == 5
    with pytest.raises(RequestError, match="'nonsense' is no label"):
        gallery.classify(queries, ["nonsense", "class 0"])


def test_without_voters_all_classes_are_equal() -> None:
    rows = pd.DataFrame({"label": ["a", "b"], "patient": ["P", "P"]})
    gallery = Gallery.build(unit(2, 0), rows)
    assert gallery.classify(unit(1, 1), ["a", "b"], exclude_patients=["P"]).tolist() == [[0.5, 0.5]]
