"""The audit as a user types it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.next_lines import next_of
from tests.datasets.test_audit import paint

Call = Callable[..., tuple[int, str, str]]


def test_an_audit_in_the_terminal(ccxr: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        paint(tmp_path / "images" / "[red]x" / f"{number}.png", number)
    paint(tmp_path / "images" / "y" / "copy.png", 2, lambda pixels: pixels[::-1])
    words = ("data.cache_dir=cache", "data.cache_size=64", "data.workers=1")
    code, said, told = ccxr("audit", "images", *words, "--fix", "fixed.csv")
    assert code == 0, told
    assert "Verdict: look" in said
    assert "more than one label" in said
    assert (tmp_path / "runs" / "audit-images" / "audit.html").is_file()
    assert (tmp_path / "fixed.csv").is_file()
    assert "data.source=csv" in said
    assert next_of(said)["look"][0] == "runs/audit-images/audit.html"
    again = ccxr("audit", "images", *words)[1]
    assert next_of(again)["train"] == ["init", "images", *words]
    code, _, told = ccxr("audit", "images", *words, "--fix", "fixed.csv")
    assert (code, "there is such a file" in told) == (2, True)


def test_wrong_requests_end_with_2(ccxr: Call, tmp_path: Path) -> None:
    code, _, told = ccxr("audit", tmp_path / "no", tmp_path / "where")
    assert (code, told.count("error: ")) == (2, 2)
    assert "data.resiz" in ccxr("audit", tmp_path, "data.resiz=pad")[2]
    assert ccxr("audit", "--help")[0] == 0
