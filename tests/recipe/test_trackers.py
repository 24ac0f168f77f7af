"""Which trackers a recipe asks for: new words, earlier recipes, faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.run.tracking import overruled, uses_wandb

EARLIER = "tracking: {wandb: online, project: chest, entity: us}\n"


@pytest.mark.parametrize(
    ("words", "trackers", "wandb"),
    [
        ([], ("wandb",), True),
        (["tracking.wandb=off"], ("wandb",), False),
        (["tracking.to=[wandb, tensorboard]"], ("wandb", "tensorboard"), True),
        (["tracking.to=[wandb,tensorboard]", "tracking.wandb=off"], ("wandb", "tensorboard"), False),
        (["tracking.to=tensorboard"], ("tensorboard",), False),
        (["tracking.to=[]"], (), False),
    ],
)
def test_words_of_a_command(words: list[str], trackers: tuple[str, ...], wandb: bool) -> None:
    tracking = recipes.load("phantom", words).tracking
    assert tracking.to == trackers
    assert uses_wandb(tracking) is wandb


def test_an_earlier_recipe_means_what_it_meant(tmp_path: Path) -> None:
    text = recipes.dump(recipes.load("phantom"))
    start = text.index("tracking:")
    rest = text[start:].split("\n")
    after = next(place for place, line in enumerate(rest[1:], 1) if line and not line.startswith((" ", "-")))
    (tmp_path / "earlier.yaml").write_text(text[:start] + EARLIER + "\n".join(rest[after:]))
    tracking = recipes.load(tmp_path / "earlier.yaml").tracking
    assert (tracking.to, tracking.wandb, tracking.project, tracking.entity) == (("wandb",), "online", "chest", "us")


def test_an_unknown_tracker_is_refused_with_those_there_are() -> None:
    with pytest.raises(RequestError, match=r"tracking\.to.*mlflow.*wandb.*tensorboard"):
        recipes.load("phantom", ["tracking.to=[mlflow]"])


def test_the_environments_mode_counts_for_wandb_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert overruled(recipes.load("phantom", ["tracking.to=tensorboard"]).tracking) == ""
    assert "tracking.wandb=offline" in overruled(recipes.load("phantom").tracking)
