"""`ccxr card` and the refusals of `ccxr evaluate`, as a user types them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.run import folder as folders
from tests.report.small import drawn, facts_of
from tests.small import small_recipe

Call = Callable[..., tuple[int, str, str]]


def test_words_come_after_training(ccxr: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    folders.write_text(run / "recipe.yaml", recipes.record(small_recipe(tmp_path / "cache")))
    folders.write_json(run / "report.json", facts_of(drawn(40, 0, True), drawn(60, 1, False)))
    code, said, told = ccxr("card", run, "card.limits=adults only")
    assert code == 0, told
    assert f"Model card: {run}/model-card.md" in said.replace("\n", "")
    assert "adults only" in (run / "model-card.md").read_text()
    code, _, told = ccxr("card", run, "card.limit=x", "card.contakt=y")
    assert (code, told.count("error: ")) == (2, 2)


def test_what_is_no_run_ends_with_2(ccxr: Call, tmp_path: Path) -> None:
    for command in ("card", "evaluate"):
        code, _, told = ccxr(command, tmp_path)
        assert (code, told.count("error: ")) == (2, 1)
        assert "is no run folder" in told


@pytest.mark.slow
def test_robustness_is_a_flag_of_evaluate(ccxr: Call, finished: Path, tmp_path: Path) -> None:
    code, _, told = ccxr("evaluate", finished, "--robustness", "--split", "val", "--out", tmp_path / "scores")
    assert code == 0, told
    facts = folders.read_json(tmp_path / "scores" / "report.json")
    assert (facts["split"], len(facts["robustness"]["changes"])) == ("val", 22)
    assert not any(note.startswith("Robustness") for note in facts["notes"])
