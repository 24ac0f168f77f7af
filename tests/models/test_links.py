"""From scores to probabilities."""

from __future__ import annotations

import math

import pytest
import torch

from contrastive_cxr.models.links import LINKS, probabilities

SCORES = torch.tensor([[1.5, -0.5, 0.25], [-3.0, -2.0, -4.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize("link", LINKS)
def test_each_link_by_hand(link: str) -> None:
    steep = 2 if link == "margin" else 1
    squash = math.exp if link == "softmax" else lambda value: 1 / (1 + math.exp(-steep * value))
    found = probabilities(SCORES, link)
    for row, given in zip(found.tolist(), SCORES.tolist(), strict=True):
        shares = [squash(value) for value in given]
        assert row == pytest.approx([share / sum(shares) for share in shares], rel=1e-5)


@pytest.mark.parametrize("link", LINKS)
def test_rows_add_up_to_one_and_keep_the_order_of_the_scores_however_large(link: str) -> None:
    scores = torch.tensor([[-900.0, -901.0, -950.0], [5.0, 8.0, 6.0]])
    found = probabilities(scores, link)
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    assert found.argsort(1).tolist() == scores.argsort(1).tolist()


def test_half_precision_becomes_float32() -> None:
    assert probabilities(SCORES.bfloat16(), "sigmoid").dtype == torch.float32


def test_an_unknown_link_is_refused() -> None:
    with pytest.raises(AssertionError, match="softmacks"):
        probabilities(SCORES, "softmacks")
