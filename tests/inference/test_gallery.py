"""The folder that `ccxr index` may write."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import locks
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import PARTIAL
from contrastive_cxr.inference.gallery import check_new


def test_what_a_killed_process_left_half_written_is_nothing(tmp_path: Path) -> None:
    (tmp_path / f".vectors.npy.00000000-1-0a{PARTIAL}").write_text("half")
    (tmp_path / locks.NAME).write_text("{}")
    check_new(tmp_path)
    check_new(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "gallery.json").write_text("{}")
    with pytest.raises(RequestError, match="is there already and is not empty"):
        check_new(tmp_path)


def test_a_gallery_that_another_process_makes_is_refused_with_its_name(tmp_path: Path) -> None:
    with locks.held(tmp_path / locks.NAME, "the gallery"):
        check_new(tmp_path)
        locks._held.clear()  # as if another process held it
        with pytest.raises(RequestError, match=r"the gallery '.*' is in use by process \d+ on "):
            check_new(tmp_path)
