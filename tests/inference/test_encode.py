"""Encoding: arrays and parts against the imported model, the run's own images, several processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference import encode as encoding
from contrastive_cxr.inference import image_sources
from contrastive_cxr.inference.encode import encode
from contrastive_cxr.retrieval import EmbeddingModel


@pytest.fixture
def painted(finished: Path) -> Path:
    """The folder of the painted phantoms."""
    return Path(str(pd.read_csv(finished / "manifest.csv", dtype=str)["root"].iloc[0]))


def test_an_array_is_the_imported_model_bit_for_bit(finished: Path, painted: Path, tmp_path: Path) -> None:
    out = encode(finished, painted, tmp_path / "vectors.npy", batch_size=8, part_images=16)
    files = pd.read_csv(tmp_path / "vectors.csv")["file"]
    vectors = np.load(out)
    assert list(files) == [str(path) for path in sorted(painted.rglob("*.png"))]
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == EmbeddingModel.load(finished).embed(list(files), batch_size=8).tobytes()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vectors.csv", "vectors.npy"]


def test_parts_hold_what_the_array_does(finished: Path, painted: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    encode(finished, painted, tmp_path / "vectors.npy", batch_size=8, part_images=16)
    encode(finished, painted, tmp_path / "folder", batch_size=8, part_images=16)
    table = pd.read_parquet(tmp_path / "folder")
    assert list(table["file"]) == list(pd.read_csv(tmp_path / "vectors.csv")["file"])
    assert np.stack(list(table["vector"])).tobytes() == np.load(tmp_path / "vectors.npy").tobytes()


def test_labels_stand_beside_the_vectors_and_a_result_is_replaced_when_told(
    finished: Path, painted: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    known = pd.read_csv(painted / "labels.csv", dtype=str).sort_values("file").head(5)
    known.assign(file=[str(painted / name) for name in known["file"]]).to_csv(tmp_path / "five.csv", index=False)
    for out in (tmp_path / "vectors.npy", tmp_path / "folder"):
        encode(finished, sorted(painted.rglob("*.png"))[0], out)
        with pytest.raises(RequestError, match="--overwrite"):
            encode(finished, tmp_path / "five.csv", out)
        encode(finished, tmp_path / "five.csv", out, overwrite=True, part_images=2)
    table = pd.read_csv(tmp_path / "vectors.csv", dtype=str)
    assert list(table["label"]) == list(known["label"])
    assert list(table["patient"]) == list(known["patient"])
    assert np.load(tmp_path / "vectors.npy").shape[0] == 5
    read = pd.read_parquet(tmp_path / "folder")
    assert list(read["label"]) == list(known["label"])
    assert np.stack(list(read["vector"])).tobytes() == np.load(tmp_path / "vectors.npy").tobytes()


def test_the_runs_own_part_comes_from_the_cache(
    finished: Path, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_sources, "squares", lambda *_: pytest.fail("a file was decoded"))
    out = encode(finished, "test", tmp_path / "test.npy")
    table = pd.read_csv(tmp_path / "test.csv", dtype=str)
    known = pd.read_csv(finished / "embed" / "arrays" / "rows.csv", dtype=str)
    assert list(table["file"]) == [str(painted / path) for path in known["path"]]
    assert list(table["class"]) == list(known["class"])
    np.testing.assert_allclose(np.load(out), np.load(finished / "embed" / "arrays" / "vectors.npy"), atol=1e-5)
    encode(finished, "all", tmp_path / "all.npy")
    assert set(pd.read_csv(tmp_path / "all.csv")["split"]) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("name", "processes", "words"),
    [
        ("vectors.npy", "2", "several processes write parts"),
        ("vectors.csv", "1", "must end in .npy, or be a folder"),
        ("there.npy", "1", r"there\.npy: exists"),
    ],
)
def test_what_cannot_be_written_is_refused_first(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, processes: str, words: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    (tmp_path / "there.npy").write_text("mine")
    with pytest.raises(RequestError, match=words):
        encode(finished, tmp_path, tmp_path / name)


def test_without_pyarrow_the_install_line_is_said(
    finished: Path, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding.parquet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'contrastive_cxr\[parquet\]'"):
        encode(finished, painted, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_an_unreadable_image_leaves_nothing_behind(finished: Path, painted: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, path in enumerate(sorted(painted.rglob("*.png"))[:20]):
        (tmp_path / "images" / f"{number:02d}.png").write_bytes(path.read_bytes() if number != 17 else b"no image")
    with pytest.raises(RequestError, match=r"17\.png"):
        encode(finished, tmp_path / "images", tmp_path / "out" / "vectors.npy", batch_size=4, part_images=8)
    assert not list((tmp_path / "out").iterdir())


def test_a_name_that_is_no_text_is_shown() -> None:
    assert image_sources.shown(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"
    assert image_sources.shown("café.png") == "café.png"


def test_a_folder_named_as_a_part_is_reached_by_its_path(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file or folder"):
        encode(finished, "./test", tmp_path / "out.npy")


def test_an_encoding_that_goes_on_keeps_its_precision(finished: Path, painted: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    whole = tmp_path / "whole"
    encode(finished, painted, whole, batch_size=8, part_images=16, precision="bf16-mixed")
    exact = encode(finished, painted, tmp_path / "exact.npy", batch_size=8, part_images=16, precision="32-true")
    expected = np.stack(list(pd.read_parquet(whole)["vector"]))
    cosines = (expected.astype(float) * np.load(exact).astype(float)).sum(1)
    assert 0.99 < cosines.min() < 1 - 1e-9
    # as a killed process leaves it: a part is missing, the record is not complete
    record = json.loads((whole / "_encoding.json").read_text())
    assert record["precision"] == "bf16-mixed"
    (whole / record["parts"][1]["file"]).unlink()
    (whole / "_encoding.json").write_text(json.dumps({**record, "complete": False, "parts": []}))
    encode(finished, painted, whole, batch_size=8, part_images=16)
    assert np.stack(list(pd.read_parquet(whole)["vector"])).tobytes() == expected.tobytes()
