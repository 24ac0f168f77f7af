"""Arrays that lie: what a `.npy` file declares is held to its size, and no pickle is opened."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.run.folder import read_array, read_json, write_array


def npy(shape: str, dtype: str = "'<f4'", data: bytes = b"", header: bytes | None = None) -> bytes:
    """A `.npy` file of format 1 with a header of one's own."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode() if header is None else header
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.zeros((0, 4), np.float32), np.array(3)])
@pytest.mark.parametrize("mapped", [False, True])
def test_there_and_back(tmp_path: Path, array: np.ndarray, mapped: bool) -> None:
    write_array(tmp_path / "a.npy", array)
    found = read_array(tmp_path / "a.npy", mapped=mapped)
    assert np.array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        npy("(1000000000000, 512)"),
        npy("(9223372036854775807, 9223372036854775807)"),
        npy("(-1, 4)", data=b"\0" * 64),
        npy("(2.5,)"),
        npy("(3,)", "'|O'", b"\x80\x04N."),
        npy("(3,)", "('<f4', (1000000000,))"),
        npy("(4,)", data=b"\0" * 15),
        npy("", header=b"(" * 9000),
        npy("", header=b"__import__('os').getcwd()"),
        b"\x93NUMPY\x02\x00" + (4_000_000_000).to_bytes(4, "little") + b"{",
    ],
    ids=range(12),
)
@pytest.mark.filterwarnings("ignore")
def test_a_lying_header_is_refused_and_takes_no_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(RequestError, match=r"a\.npy' cannot be read as an array"):
        read_array(tmp_path / "a.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_pickles_and_archives_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(RequestError, match=r"cannot be read as an array .*objects"):
        read_array(tmp_path / "a.npy")
    np.savez(tmp_path / "b.npz", a=np.zeros(2))
    with pytest.raises(RequestError, match=r"it is no \.npy file"):
        read_array(tmp_path / "b.npz")
    os.mkfifo(tmp_path / "pipe.npy")
    for name in ("none.npy", "pipe.npy"):
        with pytest.raises(RequestError, match=r"there is no such file.*is this a finished run"):
            read_array(tmp_path / name)


def test_json_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(RequestError, match="nested too deeply"):
        read_json(tmp_path / "a.json")
