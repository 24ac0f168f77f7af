"""The losses over classes, worked out one number at a time, and scikit-learn's."""

from __future__ import annotations

import math
import typing

import numpy as np
import pytest
import torch
from sklearn.metrics import hinge_loss

from contrastive_cxr.models.links import LINKS
from contrastive_cxr.objectives.classes import LOSSES
from contrastive_cxr.recipe.schema import LossName

SCORES = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * 2
LABELS = torch.arange(20) % 3
WEIGHTS = torch.tensor([0.5, 1.0, 3.0])


def one(name: str, score: float, target: bool, smoothing: float) -> float:
    """One class's part of an image's one-vs-rest loss."""
    if name == "bce":
        p, wanted = 1 / (1 + math.exp(-score)), (1 - smoothing if target else 0.0) + smoothing / 2
        return -wanted * math.log(p) - (1 - wanted) * math.log(1 - p)
    slack = max(0.0, 1 - score if target else 1 + score)
    return slack**2 if name == "squared-hinge" else slack


@pytest.mark.parametrize(("name", "smoothing"), [("bce", 0.0), ("bce", 0.2), ("hinge", 0.0), ("squared-hinge", 0.0)])
def test_one_against_the_rest_is_the_slow_loops(name: str, smoothing: float) -> None:
    found = LOSSES[name].each(SCORES, LABELS, WEIGHTS, smoothing)
    assert found.shape == (20,)
    for row in range(20):
        label = int(LABELS[row])
        parts = [one(name, float(SCORES[row, c]), c == label, smoothing) for c in range(3)]
        assert float(found[row]) == pytest.approx(sum(parts) / 3 * float(WEIGHTS[label]), rel=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_hinge_is_the_mean_of_scikit_learns_binary_ones(classes: int) -> None:
    scores, labels = SCORES[:, :classes], LABELS % classes
    found = LOSSES["hinge"].each(scores, labels, torch.ones(classes), 0.0).mean()
    theirs = [hinge_loss((labels == c).numpy(), scores[:, c].numpy()) for c in range(classes)]
    assert float(found) == pytest.approx(np.mean(theirs), rel=1e-6)


def test_cross_entropy_is_the_log_of_the_softmax() -> None:
    found = LOSSES["cross-entropy"].each(SCORES, LABELS, WEIGHTS, 0.0)
    for row in range(20):
        label, exps = int(LABELS[row]), [math.exp(float(value)) for value in SCORES[row]]
        expected = -math.log(exps[label] / sum(exps)) * float(WEIGHTS[label])
        assert float(found[row]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_teaches(name: str) -> None:
    scores = torch.zeros(6, 3, requires_grad=True)
    labels = torch.arange(6) % 3
    optimiser = torch.optim.SGD([scores], lr=2.0)
    for _ in range(50):
        optimiser.zero_grad()
        LOSSES[name].each(scores, labels, torch.ones(3), 0.0).mean().backward()
        optimiser.step()
    assert torch.equal(scores.argmax(1), labels)


def test_words_are_those_of_the_recipe_and_of_the_links() -> None:
    assert tuple(LOSSES) == typing.get_args(LossName)
    assert {kind.link for kind in LOSSES.values()} == set(LINKS)


def test_a_hinge_refuses_soft_labels() -> None:
    with pytest.raises(AssertionError, match="soft labels"):
        LOSSES["hinge"].each(SCORES, LABELS, WEIGHTS, 0.1)
