"""`ccxr search --dicomweb`, asked for what it cannot do: refused before PyTorch and before a server is asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Answer = tuple[int, str, str]
Ccxr = Callable[..., Answer]


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"CCXR_DICOMWEB_{name}", raising=False)


def test_every_fault_is_told_at_once_and_no_login_is_printed(
    ccxr: Ccxr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CCXR_DICOMWEB_USER", "hidden-user")
    code, _, said = ccxr(
        "search", tmp_path / "gone", "--dicomweb", "http://a:hidden@b/c", "--study", "x", "--dicom-as", "pdf"
    )
    assert code == 2
    assert said.count("error: ") == 6
    assert "gone: no such gallery folder" in said
    assert "one of user and password is missing" in said
    assert "hidden" not in said


@pytest.mark.parametrize("words", [("--study", "1.2.3"), ("--store",), ("--dicom-out", "x"), ("--dicom-as", "sr")])
def test_what_is_for_a_study_is_refused_without_a_server(ccxr: Ccxr, tmp_path: Path, words: tuple[str, ...]) -> None:
    code, _, said = ccxr("search", tmp_path, tmp_path, *words)
    assert code == 2
    assert f"{words[0]}: is for a study of a server; give --dicomweb URL too" in said


def test_images_and_a_study_exclude_each_other_and_one_is_wanted(ccxr: Ccxr, tmp_path: Path) -> None:
    code, _, said = ccxr("search", tmp_path, "one.png", "--dicomweb", "http://pacs", "--study", "1.2.3")
    assert code == 2
    assert "one.png: images and --dicomweb are both given" in said
    code, _, said = ccxr("search", tmp_path)
    assert code == 2
    assert "IMAGE: none is given; name images, or a study" in said


def test_without_the_extra_the_install_line_is_said(ccxr: Ccxr, tmp_path: Path) -> None:
    program = """
import sys
from importlib.machinery import PathFinder
class Missing(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in ("highdicom", "dicomweb_client") else PathFinder.find_spec(name, path, target)
sys.meta_path = [each for each in sys.meta_path if each is not PathFinder] + [Missing]
from contrastive_cxr.cli import main
try:
    main()
finally:
    print("torch" in sys.modules)
"""
    words = ("search", str(tmp_path), "--dicomweb", "http://pacs/x", "--study", "1.2.3")
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "dicomweb_client, highdicom: not installed" in done.stderr
    assert "pip install 'contrastive_cxr[dicomweb,dicom]'" in done.stderr
    assert done.stdout.strip() == "False", "refused before PyTorch"
