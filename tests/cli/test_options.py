"""Options of the command itself, and the shell's completion."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from contrastive_cxr import __version__, shipped

Answer = tuple[int, str, str]


def test_the_version_is_told(ccxr: Callable[..., Answer]) -> None:
    assert ccxr("--version") == (0, f"ccxr {__version__}\n", "")


def test_verbose_shows_debug_messages_of_this_package_alone(ccxr: Callable[..., Answer]) -> None:
    ccxr("-v", "recipes")
    assert logging.getLogger("contrastive_cxr.engine").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("another.package").isEnabledFor(logging.INFO)
    ccxr("recipes")
    assert not logging.getLogger("contrastive_cxr.engine").isEnabledFor(logging.INFO)


def test_verbose_and_quiet_together_are_refused(ccxr: Callable[..., Answer]) -> None:
    code, _, said = ccxr("-v", "-q", "recipes")
    assert code == 2
    assert "not both" in said


def completed(ccxr: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """What bash is offered at the end of a line."""
    monkeypatch.setenv("_CCXR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    return ccxr()[1].split()


def test_the_shell_completes_the_names_of_recipes(ccxr: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    of_ct = [name for name in shipped.names() if name.startswith("ct/")]
    assert len(of_ct) > 1
    for line in ("ccxr run ct/", "ccxr pretrain ct/", "ccxr sweep ct/", "ccxr recipes show ct/"):
        assert completed(ccxr, monkeypatch, line) == of_ct
    assert completed(ccxr, monkeypatch, "ccxr recipes s") == ["show", "schema"]


def test_the_shell_completes_commands_and_gets_a_script(
    ccxr: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sorted(completed(ccxr, monkeypatch, "ccxr pre")) == ["predict", "pretrain"]
    monkeypatch.setenv("_CCXR_COMPLETE", "source_bash")
    assert "complete -o default -F _ccxr_completion ccxr" in ccxr()[1]


def test_quiet_leaves_the_places_of_results(ccxr: Callable[..., Answer], finished: Path, tmp_path: Path) -> None:
    code, said, errors = ccxr("-q", "evaluate", finished, "--out", tmp_path / "quiet")
    assert (code, errors) == (0, "")
    assert [line.split(":")[0] for line in said.splitlines()] == ["Report", "Model card"]
