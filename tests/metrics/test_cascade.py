"""The joined verdict of two stages, by a hand-made case."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.metrics import cascade

FLAT = ("normal", "covid", "other")


def test_join_multiplies_along_the_branches() -> None:
    order = cascade.order(FLAT, ("normal", "infected"), ("other", "covid"))
    joined = cascade.join(np.array([[0.4, 0.6], [0.9, 0.1]]), np.array([[0.75, 0.25], [0.5, 0.5]]), order)
    assert joined == pytest.approx(np.array([[0.4, 0.15, 0.45], [0.9, 0.05, 0.05]]))
    assert joined.sum(1) == pytest.approx(1.0)


def test_the_stages_decide_in_turn() -> None:
    order = cascade.order(FLAT, ("normal", "infected"), ("other", "covid"))
    stage1 = np.array([[0.45, 0.55], [0.9, 0.1], [0.2, 0.8]])
    stage2 = np.array([[0.4, 0.6], [0.0, 1.0], [0.7, 0.3]])
    assert cascade.verdicts(stage1, stage2, order).tolist() == [1, 0, 2]
    assert cascade.join(stage1, stage2, order).argmax(1).tolist() == [0, 0, 2]  # the first: divided among two


@pytest.mark.parametrize(
    ("stage1", "stage2"),
    [(("normal", "infected"), ("covid",)), (("healthy", "infected"), ("other", "covid")), (("normal",), FLAT[1:])],
)
def test_stages_that_do_not_fit_are_refused(stage1: tuple[str, ...], stage2: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="do not join to"):
        cascade.order(FLAT, stage1, stage2)


def test_errors_belong_to_the_stage_that_made_them() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2, 2])
    verdicts = np.array([0, 2, 0, 1, 1, 2, 0])  # class 0 is stage 1's
    found = cascade.errors(verdicts, labels, 0)
    assert found == {"passed_on": 1, "held_back": 2, "stage2": 1, "right": 3}
