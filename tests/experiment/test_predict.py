"""Using a run: probabilities, vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.experiment.predict import encode, images_of, predict
from contrastive_cxr.retrieval import EmbeddingModel


@pytest.fixture
def pictures(finished: Path) -> Path:
    """The folder of the painted phantoms."""
    root = pd.read_csv(finished / "manifest.csv", dtype=str)["root"].iloc[0]
    return Path(str(root))


def test_predictions_are_a_row_an_image(finished: Path, pictures: Path, tmp_path: Path) -> None:
    predict(finished, pictures, tmp_path / "new" / "said.csv")
    table = pd.read_csv(tmp_path / "new" / "said.csv")
    assert list(table) == ["file", "p_normal", "p_nodule", "p_opacity", "decision"]
    assert list(table["file"]) == [str(path) for path in sorted(pictures.rglob("*.png"))]
    columns = table[["p_normal", "p_nodule", "p_opacity"]].to_numpy()
    np.testing.assert_allclose(columns.sum(axis=1), 1, atol=1e-5)
    assert list(table["decision"]) == [["normal", "nodule", "opacity"][row] for row in columns.argmax(axis=1)]


def test_predictions_are_those_of_the_evaluation(finished: Path, pictures: Path, tmp_path: Path) -> None:
    table = predict(finished, pictures, tmp_path / "said.csv").set_index("file")
    rows = pd.read_csv(finished / "finetune" / "arrays" / "rows.csv", dtype=str)
    known = np.load(finished / "finetune" / "arrays" / "probabilities.npy")
    said = table.loc[[str(pictures / path) for path in rows["path"]], ["p_normal", "p_nodule", "p_opacity"]]
    np.testing.assert_allclose(said.to_numpy(), known, atol=1e-5)


def test_encode_is_the_imported_model_bit_for_bit(finished: Path, pictures: Path, tmp_path: Path) -> None:
    out = encode(finished, pictures, tmp_path / "vectors.npy")
    files = pd.read_csv(tmp_path / "vectors.csv")["file"]
    vectors = np.load(out)
    assert vectors.dtype == np.float32
    assert vectors.tobytes() == EmbeddingModel.load(finished).embed(list(files)).tobytes()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_an_image_alone_is_a_source(finished: Path, pictures: Path, tmp_path: Path) -> None:
    one = sorted(pictures.rglob("*.png"))[0]
    assert images_of(one) == [one]
    assert len(predict(finished / "pretrain", one, tmp_path / "said.csv")) == 1


def test_vectors_beside_an_existing_table_are_refused(finished: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "vectors.csv").write_text("mine")
    with pytest.raises(RequestError, match=r"vectors\.csv: exists"):
        encode(finished, pictures, tmp_path / "vectors.npy")
    assert (tmp_path / "vectors.csv").read_text() == "mine"


@pytest.mark.parametrize(("name", "words"), [("x.txt", "must end in .csv"), ("x", "must end in .csv")])
def test_another_ending_is_refused(finished: Path, tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        predict(finished, tmp_path, tmp_path / name)


def test_a_source_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="holds no image file"):
        images_of(tmp_path)
    with pytest.raises(RequestError, match="no such file or folder"):
        images_of(tmp_path / "nowhere")
