"""Files are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.files import PARTIAL, write_bytes


def test_a_file_is_written_and_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "a.bin"
    for content in (b"first, which is longer", b"second", b""):
        write_bytes(path, content)
        assert path.read_bytes() == content
        assert os.listdir(path.parent) == ["a.bin"]


def test_a_reader_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with path.open("rb") as reader:
        write_bytes(path, b"new")
        assert reader.read() == b"old"


@pytest.mark.parametrize("fault", ["a folder in its place", "a file for its folder", "a folder for what lies beside"])
def test_a_failed_write_changes_nothing(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "taken"
    if fault == "a folder in its place":
        path.mkdir()
    elif fault == "a file for its folder":
        path.write_bytes(b"old")
        path = path / "below"
    else:
        path.write_bytes(b"old")
        (tmp_path / f".taken.{os.getpid()}{PARTIAL}").mkdir()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(CcxrError, match="nothing was changed there"):
        write_bytes(path, b"new")
    assert sorted(os.listdir(tmp_path)) == before
    assert fault == "a folder in its place" or (tmp_path / "taken").read_bytes() == b"old"
