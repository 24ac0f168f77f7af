from __future__ import annotations

import pytest

from contrastive_cxr.objectives.health import words
from contrastive_cxr.recipe.schema import Embed

TRIPLET = Embed(loss="triplet", mining="batch-hard", margin=0.5)


@pytest.mark.parametrize(
    ("loss", "mined", "spread", "expected"),
    [
        (0.2, 64.0, 0.8, None),
        (0.5, 64.0, 0.8, None),
        (0.2, 64.0, 0.01, None),
        (0.499, 64.0, 0.01, "collapse: all images get nearly the same embedding (spread 0.01, the loss 0.499 at a"),
        (0.0, 0.0, 0.01, "collapse: "),
        (0.0, 0.0, 0.8, "nothing was learned: no anchor had a positive and a negative that mining 'batch-hard'"),
    ],
)
def test_words_for_a_triplet_loss(loss: float, mined: float, spread: float, expected: str | None) -> None:
    said = words({"loss": loss, "mined": mined, "spread": spread, "active": 1.0}, TRIPLET)
    assert said is expected if expected is None else said is not None and said.startswith(expected)


def test_a_loss_without_margin_collapses_by_its_spread() -> None:
    said = words({"loss": 3.1, "mined": 64.0, "spread": 0.01}, Embed(loss="nt-xent"))
    assert said is not None
    assert said.startswith("collapse: ")
    assert "margin" not in said
    assert "mining" not in said
