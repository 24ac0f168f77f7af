"""`ccxr explore`, asked for what it cannot do: every fault at once, before PyTorch."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

Ccxr = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCXR_TOKEN", raising=False)


def test_every_fault_is_told_at_once(ccxr: Ccxr, tmp_path: Path) -> None:
    code, _, said = ccxr("explore", tmp_path / "gone", "--gallery", tmp_path / "none", "--host", "0.0.0.0")
    assert code == 2
    assert said.count("error: ") == 3
    assert "gone: no such run folder" in said
    assert "none: no such gallery folder" in said
    assert "--host 0.0.0.0" in said


def test_a_port_in_use_is_refused(ccxr: Ccxr, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, said = ccxr("explore", tmp_path, "--port", port)
    assert code == 2
    assert said.count("error: ") == 1
    assert f"--port {port}: another program listens there" in said


def test_a_folder_that_is_neither_and_a_wrong_ending_are_refused(ccxr: Ccxr, tmp_path: Path) -> None:
    code, _, said = ccxr("explore", tmp_path, "--port", 0)
    assert code == 2
    assert "holds no finished model" in said
    code, _, said = ccxr("explore", tmp_path, "--parquet", tmp_path / "map.csv")
    assert code == 2
    assert "must end in .parquet" in said


def test_a_parquet_is_written_and_the_next_command_is_shown(ccxr: Ccxr, finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import shutil

    shutil.copytree(finished, tmp_path / "run")
    code, out, said = ccxr("explore", tmp_path / "run", "--parquet", tmp_path / "map.parquet")
    assert code == 0, said
    assert (tmp_path / "map.parquet").is_file()
    assert "embedding-atlas" in out
