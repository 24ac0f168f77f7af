"""What is kept is read back for the same vectors alone; a damaged file is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from contrastive_cxr.explore import kept


def test_it_comes_back_for_the_same_vectors_alone(tmp_path: Path) -> None:
    vectors = np.eye(3, dtype=np.float32)
    own = kept.identity(vectors, ["a", "b", "c"])
    assert own != kept.identity(vectors, ["a", "b", "d"])
    assert own != kept.identity(vectors[::-1], ["a", "b", "c"])
    places = np.ones((3, 2), np.float32)
    kept.write(tmp_path, kept.Kept(own, {"places": places}, "m"))
    found = kept.read(tmp_path, own)
    assert_array_equal(found.arrays["places"], places)
    assert found.models == "m"
    assert not kept.read(tmp_path, "other").arrays


def test_a_damaged_or_foreign_file_is_made_again(tmp_path: Path) -> None:
    kept.write(tmp_path, kept.Kept("v", {"places": np.ones((3, 2), np.float32)}))
    whole = (tmp_path / kept.NAME).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no zip"):
        (tmp_path / kept.NAME).write_bytes(damaged)
        assert not kept.read(tmp_path, "v").arrays
    np.savez(tmp_path / kept.NAME, version="1", vectors="v", models="", places=np.ones((3, 2)))
    assert not kept.read(tmp_path, "v").arrays, "float64 was never written"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept.write(tmp_path / "file" / "below", kept.Kept("v"))
