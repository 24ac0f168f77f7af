"""What may be done next, at the end of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr import shipped, terminal
from contrastive_cxr.cli.info import copy
from contrastive_cxr.cli.show import after_run, print_next
from contrastive_cxr.cli.train import again, one_phase
from tests.cli.next_lines import next_of


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
        ("explore", f"ccxr explore '{whole}'"),
        ("export", f"ccxr export '{whole}' --to onnx --out '{whole}-onnx'"),
    ]
    embedding = run_with(tmp_path / "b", "embed")
    assert [what for what, _ in after_run(embedding)] == ["gallery", "search", "explore", "export"]
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
    assert again("run", "phantom", words, {"--out": Path("a"), "--folds": 5, "--seeds": None}) == (
        "ccxr run phantom 'data.root=my images' embed.epochs=2 --out a --folds 5"
    )
    assert again("run", "phantom", None, {"--out": None}) == "ccxr run phantom"


def test_a_cascade_is_used_by_its_flat_run(tmp_path: Path) -> None:
    run_with(tmp_path / "run" / "flat", "pretrain")
    run_with(tmp_path / "run" / "stage1", "pretrain")
    assert after_run(tmp_path / "run") == after_run(tmp_path / "run" / "flat")
    assert [what for what, _ in after_run(tmp_path / "run")] == [
        "predict",
        "gallery",
        "search",
        "explore",
        "export",
    ]


@pytest.mark.parametrize(
    ("name", "roots"),
    [
        ("phantom", []),
        ("own/table", ["data.root=FOLDER"]),
        ("chest/label-free", [f"data.join.{number}.root=FOLDER" for number in range(3)]),
    ],
)
def test_a_copied_recipe_is_checked_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, roots: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    copy(name, shipped.path(name).read_text(), None)
    file = f"{name.replace('/', '-')}.yaml"
    assert next_of(capsys.readouterr().out) == {"check": ["run", file, *roots, "--dry-run"]}
    recipes.load(file, roots)  # with these roots nothing is missing


def test_a_phase_is_followed_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[tuple[str, str]] = []
    monkeypatch.setattr("contrastive_cxr.training.run.run", lambda recipe, out, **flags: out)
    monkeypatch.setattr("contrastive_cxr.cli.train.finished", lambda out, *later: steps.extend(later))
    for name in ("pretrain", "embed", "finetune"):
        one_phase(name, "phantom", ["embed.epochs=2"], None, tmp_path / "my run", None, False, False)
    assert steps == [
        ("embed", f"ccxr embed phantom embed.epochs=2 --from '{tmp_path}/my run'"),
        ("finetune", f"ccxr finetune phantom embed.epochs=2 --from '{tmp_path}/my run'"),
    ]
