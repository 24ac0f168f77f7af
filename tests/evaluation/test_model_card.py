"""The card of a run, written again with words that its author adds."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.model_card import write_card
from contrastive_cxr.preflight.data_checks import same_recipe
from contrastive_cxr.run import folder as folders
from tests.report.small import drawn, facts_of
from tests.small import small_recipe


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A scored run with an external test beside it; of both the facts alone."""
    folders.write_text(tmp_path / "run" / "recipe.yaml", recipes.record(small_recipe(tmp_path / "cache")))
    facts = facts_of(drawn(40, 0, True), drawn(60, 1, False))
    for place in (tmp_path / "run", tmp_path / "run" / "external-test"):
        folders.write_json(place / "report.json", facts)
    return tmp_path / "run"


def test_words_are_kept_and_shown_in_every_report_of_the_run(run: Path) -> None:
    assert "Children only" not in write_card(run).read_text()
    write_card(run, ["card.limits=Children only", "card.contact=The clinic"])
    card = write_card(run, ["card.contact='A: B'"])
    assert card == run / "model-card.md"
    for place in (run, run / "external-test"):
        for name in ("model-card.md", "report.html"):
            assert "Children only" in (place / name).read_text()
            assert "A: B" in (place / name).read_text()
    assert (
        "External testing (CLAIM 2024 33; TRIPOD+AI 16)\n\nNew images"
        in (run / "external-test" / "model-card.md").read_text()
    )


def test_a_run_with_new_words_can_still_be_resumed(run: Path, tmp_path: Path) -> None:
    write_card(run, ["card.limits=Children only"])
    same_recipe(small_recipe(tmp_path / "cache"), run, resume=True)
    with pytest.raises(RequestError, match="seed: 0 -> seed: 1"):
        same_recipe(small_recipe(tmp_path / "cache", "seed=1"), run, resume=True)


def test_a_recipe_of_before_a_setting_came_can_be_resumed(run: Path, tmp_path: Path) -> None:
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("card: null\n", "").replace("  subgroups: []\n", ""))
    assert (run / "recipe.yaml").read_text() != text
    same_recipe(small_recipe(tmp_path / "cache"), run, resume=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=1", "card.limits=x"], "seed=1: the card takes texts of its own section alone"),
        (["card.limit=x"], "did you mean 'limits'"),
    ],
)
def test_other_words_are_refused_and_nothing_is_written(run: Path, words: list[str], said: str) -> None:
    before = (run / "recipe.yaml").read_text()
    with pytest.raises(RequestError, match=said):
        write_card(run, words)
    assert (run / "recipe.yaml").read_text() == before
    assert not (run / "model-card.md").exists()


def test_a_run_that_was_not_scored_has_no_card(run: Path) -> None:
    (run / "report.json").unlink()
    with pytest.raises(RequestError, match="evaluate the run first"):
        write_card(run, ["card.limits=x"])
