from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from contrastive_cxr import terminal
from contrastive_cxr.cli import main

Answer = tuple[int, str, str]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stage is named on stderr because the machine is slow: tests count the lines of errors."""
    monkeypatch.setattr(terminal, "SOON", 3600.0)
    monkeypatch.setattr(terminal, "EVERY", 3600.0)


@pytest.fixture
def ccxr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`ccxr(*words) -> (exit code, stdout, stderr)`, in this process."""

    def call(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["ccxr", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        code = left.value.code
        return (code if isinstance(code, int) else 0), said.out, said.err

    return call
