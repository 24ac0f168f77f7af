"""Space on disks, in words."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from contrastive_cxr.space import free, is_full, size_words, unwritable


def test_free_space_of_what_is_not_there_yet(tmp_path: Path) -> None:
    assert abs(free(tmp_path / "not" / "yet") - shutil.disk_usage(tmp_path).free) < 2**30


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_with_both_sizes(tmp_path: Path, number: int) -> None:
    error = OSError(number, os.strerror(number))
    said = str(unwritable(tmp_path / "a", error, needed=3 * 2**20, then="nothing was changed there"))
    assert said.startswith(f"cannot write '{tmp_path / 'a'}': {os.strerror(number)} (3.0 MiB needed, ")
    assert said.endswith(
        "free on its disk); nothing was changed there; make room, then the same command goes on (a run: with --resume)"
    )


def test_another_error_says_nothing_of_room(tmp_path: Path) -> None:
    said = str(unwritable(tmp_path / "a", PermissionError(errno.EACCES, "Permission denied"), needed=10))
    assert said == f"cannot write '{tmp_path / 'a'}': Permission denied"


def test_numpys_words_for_an_array_written_in_part_are_known(tmp_path: Path) -> None:
    assert is_full(OSError("14400 requested and 992 written"))
    assert not is_full(OSError("something else"))
    assert "No space left on device" in str(unwritable(tmp_path, OSError("14400 requested and 992 written")))


def test_sizes_in_words() -> None:
    said = [size_words(size) for size in (0, 1023, 1024, 1536 * 1024, 5 * 2**30)]
    assert said == ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "5.00 GiB"]
