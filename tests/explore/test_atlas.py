"""The Parquet for embedding-atlas: places, neighbours as row numbers, pictures as bytes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastive_cxr.explore import atlas
from contrastive_cxr.explore.answers import Explorer


def test_it_holds_places_neighbours_and_pictures(explored: Explorer, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert atlas.write(tmp_path / "map.parquet", explored) == 0
    rows = parquet.read_table(tmp_path / "map.parquet").to_pylist()
    assert len(rows) == len(explored.gallery)
    vectors = explored.gallery.vectors
    for number in (0, len(rows) - 1):
        row = rows[number]
        assert np.allclose([row["x"], row["y"]], explored.found.places[number])
        gaps = np.linalg.norm(vectors - vectors[number], axis=1)
        assert row["neighbors"]["ids"][0] == np.argsort(gaps)[1]
        assert row["neighbors"]["distances"][0] == pytest.approx(np.sort(gaps)[1], abs=1e-4)
        with Image.open(io.BytesIO(row["image"]["bytes"])) as picture:
            assert picture.format == "JPEG"
    assert {"label", "predicted", "split", "percentile"} <= set(rows[0])
    assert "root" not in rows[0]
