"""What may be done next, at the end of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import terminal
from contrastive_cxr.cli.show import after_run, print_next
from contrastive_cxr.cli.train import again


def run_with(folder: Path, *phases: str) -> Path:
    for name in phases:
        (folder / name).mkdir(parents=True)
        (folder / name / "model.json").write_text("{}")
    return folder


def test_a_run_is_used_by_the_models_that_it_has(tmp_path: Path) -> None:
    whole = run_with(tmp_path / "my run", "pretrain", "embed", "finetune")
    assert after_run(whole) == [
        ("predict", f"ccxr predict '{whole}' IMAGES --out predictions.csv"),
        ("gallery", f"ccxr index '{whole}' train --out '{whole}/gallery'"),
        ("search", f"ccxr search '{whole}/gallery' IMAGE"),
    ]
    embedding = run_with(tmp_path / "b", "embed")
    assert [what for what, _ in after_run(embedding)] == ["gallery", "search"]
    assert after_run(tmp_path / "c") == []


def test_a_run_over_seeds_is_one_predictor(tmp_path: Path) -> None:
    (tmp_path / "parts.json").write_text("{}")
    assert [what for what, _ in after_run(tmp_path)] == ["predict"]


def test_the_lines(capsys: pytest.CaptureFixture[str], amount: None) -> None:
    print_next(("look", "ccxr a"), ("predict", "ccxr b"))
    print_next()
    assert capsys.readouterr().out == "Next:\n  look     ccxr a\n  predict  ccxr b\n"
    terminal.set_amount(quiet=True)
    print_next(("look", "ccxr a"))
    assert capsys.readouterr().out == ""


def test_the_command_of_a_dry_run_as_the_one_that_trains() -> None:
    words = ["data.root=my images", "embed.epochs=2"]
    assert again("phantom", words, Path("a"), 5, None) == (
        "ccxr run phantom 'data.root=my images' embed.epochs=2 --out a --folds 5"
    )
    assert again("phantom", None, None, None, None) == "ccxr run phantom"
