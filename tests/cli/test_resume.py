"""`--resume`, and `--resume auto`: begins, goes on, or ends at once."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contrastive_cxr import locks
from contrastive_cxr.cli.resume import spelled_out
from contrastive_cxr.run import folder as folders
from contrastive_cxr.training.finished import forget, is_finished, record
from tests.small import overrides, same_weights, small_recipe

Call = Callable[..., tuple[int, str, str]]


def everything(run: Path) -> dict[str, int]:
    """Time of change of each file."""
    return {str(path): path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("phantom --resume", "phantom --resume yes"),
        ("--resume phantom", "--resume yes phantom"),
        ("phantom --resume embed.epochs=5", "phantom --resume yes embed.epochs=5"),
        ("phantom --resume auto embed.epochs=5", "phantom --resume auto embed.epochs=5"),
        ("--resume auto phantom", "--resume auto phantom"),
        ("phantom --out auto", "phantom --out auto"),
        ("phantom --resume --out auto", "phantom --resume yes --out auto"),
        ("phantom -- --resume", "phantom -- --resume"),
    ],
)
def test_a_bare_word_keeps_its_meaning(typed: str, read: str) -> None:
    assert " ".join(spelled_out(typed.split())) == read


def test_a_finished_run_ends_at_once_with_its_result(ccxr: Call, finished: Path, cache: Path) -> None:
    before = everything(finished)
    code, said, told = ccxr("run", "phantom", *overrides(cache), "--out", finished, "--resume", "auto")
    assert code == 0, told
    assert "balanced_accuracy" in said
    assert f"Report: {(finished / 'report.html').resolve()}" in said
    assert everything(finished) == before


def test_it_is_still_another_recipe(ccxr: Call, finished: Path, cache: Path) -> None:
    words = [*overrides(cache, "embed.epochs=3"), "--out", finished]
    for resume in (["--resume"], ["--resume", "auto"]):
        code, _, told = ccxr("run", "phantom", *words, *resume)
        assert code == 2
        assert "another recipe" in told


def test_what_is_finished(finished: Path, cache: Path, tmp_path: Path) -> None:
    recipe = small_recipe(cache)
    assert is_finished(recipe, finished)
    assert not is_finished(recipe, finished, phase="embed"), "a run of three phases is none of one"
    assert not is_finished(recipe, finished, seeds=2)
    assert not is_finished(recipe, tmp_path / "nothing")
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    forget(run)
    assert not is_finished(recipe, run)
    record(run, ["seed0", "seed1"])
    assert is_finished(recipe, run, seeds=2)
    assert not is_finished(recipe, run, seeds=3)


def test_auto_begins_where_there_is_nothing(
    ccxr: Call, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr("contrastive_cxr.training.run.run", lambda recipe, out, **flags: asked.append(flags))
    for word in ([], ["--resume"], ["--resume", "auto"]):
        code, _, told = ccxr("run", "phantom", *overrides(cache), "--out", tmp_path / "run", *word)
        assert code == 0, told
    assert [flags["resume"] for flags in asked] == [False, True, True]


def test_a_run_that_another_process_holds_is_refused(ccxr: Call, finished: Path, cache: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(finished / "recipe.yaml", run)
    with locks.held(run / locks.NAME, "the run"):
        locks._held.clear()  # as if another process held it
        for word in (["--resume"], ["--resume", "auto"], ["--overwrite"], []):
            code, _, told = ccxr("run", "phantom", *overrides(cache), "--out", run, *word)
            assert code == 2
            assert f"the run folder '{run}' is in use by process" in told
    assert (run / folders.MARK).is_file()


@pytest.mark.slow  # trains the last phase and scores
def test_the_command_for_a_run_folder_that_is_given_as_a_recipe(
    ccxr: Call, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "my run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("finetune", "done.json", "report*"))
    code, _, told = ccxr("run", run)
    assert code == 2
    go_on, begin = re.findall(r": ccxr (run .+?)(?:;|$)", told, re.MULTILINE)
    code, said, told = ccxr(*shlex.split(go_on))
    assert code == 0, told
    assert f"Report: {run / 'report.html'}" in said
    assert same_weights(run / "finetune", finished / "finetune")
    asked: list[Path] = []
    monkeypatch.setattr("contrastive_cxr.training.run.run", lambda recipe, out, **flags: asked.append(out))
    assert ccxr(*shlex.split(begin.replace("NEW_FOLDER", str(tmp_path / "new"))))[0] == 0
    assert asked == [tmp_path / "new"]
