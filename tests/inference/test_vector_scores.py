"""Scores of folders of vectors: those of one table of them, and what cannot be scored is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.inference import shards
from contrastive_cxr.inference.encode import encode
from contrastive_cxr.inference.vector_scores import neighbour_scores
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.run import parquet
from contrastive_cxr.spread import Engine

pytest.importorskip("pyarrow")


def folder(place: Path, rows: pd.DataFrame, vectors: np.ndarray, part: int = 7) -> Path:
    """A finished encoding, as `ccxr encode` writes it."""
    record = shards.Record(
        model="a", source="b", images=len(rows), dimensions=vectors.shape[1], part_images=part, complete=True
    )
    parts = tuple(shards.parts_of(record))
    for each in parts:
        end = each.first + each.images
        parquet.write(place / each.file, rows.iloc[each.first : end], vectors[each.first : end])
    whole = record.model_copy(update={"parts": parts})
    (place / shards.RECORD).write_text(json.dumps(whole.model_dump()))
    return place


def made(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(["well", "ill", "worse"], rows)
    vectors = rng.normal(size=(rows, 5)).astype(np.float32) + 2 * (labels == "ill")[:, None].astype(np.float32)
    patients = [f"p{number}" if number else "" for number in rng.integers(0, rows // 2, rows)]
    table = {"file": [f"{seed}-{n}.png" for n in range(rows)], "class": labels, "patient": patients}
    return pd.DataFrame(table), vectors


def numbers(*columns: pd.Series) -> list[np.ndarray]:
    words = sorted({word for column in columns for word in column if word})
    return [np.array([words.index(word) if word else -1 for word in column]) for column in columns]


def test_a_folder_among_itself(tmp_path: Path) -> None:
    rows, vectors = made(40, 0)
    found, classes = neighbour_scores(folder(tmp_path / "v", rows, vectors), memory=4 * 40 * 6)
    (labels,), (patients,), ids = numbers(rows["class"]), numbers(rows["patient"]), np.arange(40)
    who = {"gallery_ids": ids, "query_ids": ids, "gallery_patients": patients, "query_patients": patients}
    wanted = neighbours.scores(vectors, labels, vectors, labels, **who)
    assert classes == ("ill", "well", "worse")
    assert found.values == wanted.values
    for name, column in wanted.per_query.items():
        np.testing.assert_allclose(found.per_query[name], column, err_msg=name)


def test_queries_of_another_folder_leave_out_their_own_files_and_patients(tmp_path: Path) -> None:
    (rows, vectors), (asked, theirs) = made(40, 0), made(20, 1)
    asked.loc[:4, "file"] = rows["file"][:5]
    asked = asked.rename(columns={"class": "label"})
    places = folder(tmp_path / "v", rows, vectors), folder(tmp_path / "q", asked, theirs)
    found, _ = neighbour_scores(*places)
    labels = numbers(rows["class"], asked["label"])
    ids, patients = numbers(rows["file"], asked["file"]), numbers(rows["patient"], asked["patient"])
    wanted = neighbours.scores(
        vectors, labels[0], theirs, labels[1], gallery_ids=ids[0], query_ids=ids[1], gallery_patients=patients[0],
        query_patients=patients[1],
    )  # fmt: skip
    assert found.values == wanted.values


def test_what_cannot_be_scored_is_named(tmp_path: Path) -> None:
    rows, vectors = made(20, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError) as error:
        neighbour_scores(tmp_path / "empty", tmp_path / "none")
    assert [fault.split(":")[0] for fault in error.value.faults] == [str(tmp_path / "empty"), str(tmp_path / "none")]
    plain = folder(tmp_path / "plain", rows[["file"]], vectors)
    with pytest.raises(RequestError, match="knows no labels"):
        neighbour_scores(plain)
    rows.loc[3, "class"] = ""
    with pytest.raises(RequestError, match="1 of 20 images have no label"):
        neighbour_scores(folder(tmp_path / "some", rows, vectors))
    record = json.loads((plain / shards.RECORD).read_text()) | {"complete": False, "parts": []}
    (plain / shards.RECORD).write_text(json.dumps(record))
    with pytest.raises(RequestError, match="is not finished"):
        neighbour_scores(plain)
    with pytest.raises(RequestError, match="--engine rya"):
        neighbour_scores(tmp_path / "some", engine=Engine("rya"))


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    rows, vectors = made(20, 0)
    place = folder(tmp_path / "v", rows, vectors)
    part = place / "parts" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    with pytest.raises(CcxrError, match=r"part-000001\.parquet cannot be read"):
        neighbour_scores(place)


def test_what_ccxr_encode_wrote(finished: Path, tmp_path: Path) -> None:
    encode(finished, "all", tmp_path / "v", part_images=16)
    found, classes = neighbour_scores(tmp_path / "v", vote=5)
    assert classes == ("nodule", "normal", "opacity")
    assert found.values["map_at_r"]["n"] == 60
