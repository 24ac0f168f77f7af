"""`ccxr serve`, asked for what it cannot do: refused at once, before PyTorch, every fault with its cure."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = tuple[int, str, str]
Ccxr = Callable[..., Answer]


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCXR_TOKEN", raising=False)


def test_every_fault_is_told_at_once_and_no_token_is_printed(
    ccxr: Ccxr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCXR_TOKEN", "too-short")
    code, _, said = ccxr(
        "serve", tmp_path / "gone", "--host", "0.0.0.0", "--max-files", 0, "--gallery", tmp_path / "none"
    )
    assert code == 2
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 4
    assert "gone: no such run folder" in said
    assert "none: no such gallery folder" in said
    assert "the token has 9 characters" in said
    assert "files = 0" in said
    assert "too-short" not in said


def test_another_machine_without_a_token_is_one_error(ccxr: Ccxr, tmp_path: Path) -> None:
    code, _, said = ccxr("serve", tmp_path, "--host", "0.0.0.0")
    assert code == 2
    assert said.count("error: ") == 1
    assert "--host 0.0.0.0: other machines can reach it, and there is no token" in " ".join(said.split())


def test_a_port_in_use_is_refused_before_the_models_are_loaded(ccxr: Ccxr, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, said = ccxr("serve", tmp_path, "--port", port)
    assert code == 2
    assert f"--port {port}: another program listens there" in said


def test_what_is_no_run_is_refused(ccxr: Ccxr, tmp_path: Path) -> None:
    code, _, said = ccxr("serve", tmp_path, "--port", 0)
    assert code == 2
    assert "holds no finished model" in said


def test_a_refusal_comes_before_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from contrastive_cxr.cli import main\n"
        f"sys.argv = ['ccxr', 'serve', {str(tmp_path / 'gone')!r}, '--host', '0.0.0.0']\n"
        "try:\n    main()\nexcept SystemExit as left:\n    print(left.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def test_a_gallery_of_another_model_is_refused(ccxr: Ccxr, finished: Path, tmp_path: Path) -> None:
    from contrastive_cxr.inference.gallery import index

    index(finished, "train", tmp_path / "gallery")
    record = json.loads((tmp_path / "gallery" / "gallery.json").read_text())
    (tmp_path / "gallery" / "gallery.json").write_text(json.dumps({**record, "model": "0" * 64}))
    for words in ([finished, "--gallery", tmp_path / "gallery"], [tmp_path / "gallery", "--run", finished]):
        code, _, said = ccxr("serve", *words, "--port", 0)
        assert code == 2
        assert "the gallery is of model 000000000000" in said
    code, _, said = ccxr("serve", finished, "--run", finished, "--port", 0)
    assert code == 2
    assert "is for a gallery" in said
