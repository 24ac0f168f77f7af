"""The training commands, as a user types them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.small import overrides, same_weights

Call = Callable[..., tuple[int, str, str]]


def test_one_phase_after_the_other(ccxr: Call, finished: Path, cache: Path, tmp_path: Path) -> None:
    """The last of the three commands, on the run's own phase 2: the same head, the same report."""
    out = tmp_path / "out"
    code, said, told = ccxr("finetune", "phantom", *overrides(cache), "--from", finished, "--out", out)
    assert code == 0, told
    assert "balanced_accuracy" in said
    assert f"Report: {(out / 'report.html').resolve()}" in said
    assert same_weights(out / "finetune", finished / "finetune")


def test_overfit_ends_with_1_where_nothing_is_learned(ccxr: Call, cache: Path, tmp_path: Path) -> None:
    words = overrides(cache, "pretrain.optimiser.lr=1.0e+30", "pretrain.optimiser.name=sgd")
    code, said, _ = ccxr("run", "phantom", *words, "--overfit", "6", "--out", tmp_path / "out")
    assert code == 1
    assert "could NOT be learned" in said
    assert not (tmp_path / "out").exists()


def test_a_run_is_evaluated_again(ccxr: Call, finished: Path, tmp_path: Path) -> None:
    code, said, _ = ccxr("evaluate", finished, "--split", "val", "--out", tmp_path / "scores")
    assert code == 0
    assert "phantom: val part" in said
    assert (tmp_path / "scores" / "report.html").is_file()
