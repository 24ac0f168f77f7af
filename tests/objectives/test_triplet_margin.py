from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses, miners, reducers
from torch import Tensor

from contrastive_cxr.objectives import stats
from contrastive_cxr.objectives.losses import distance_of, distances_of
from contrastive_cxr.objectives.pairs import Pairs, References, allowed
from contrastive_cxr.objectives.triplet_margin import KINDS, counted, of_kind, triplet_margin
from tests.objectives.points import points

MARGIN = 0.3
Triplets = list[tuple[int, int, int]]


def listed(kind: str, references: References, anchors: int, cosine: bool) -> Triplets:
    """Triplets by three loops, from the rows alone."""
    x, labels, patients = (part.numpy().astype(np.float64) for part in references)
    found = []
    for a, p, n in itertools.product(range(anchors), range(len(x)), range(len(x))):
        if a == p or labels[a] != labels[p] or labels[a] == labels[n] or (patients[a] == patients[n] >= 0):
            continue
        near, far = (1 - x[a] @ x[other] if cosine else np.sqrt(((x[a] - x[other]) ** 2).sum()) for other in (p, n))
        kept = {"all": True, "easy": far > near + MARGIN, "semihard": near < far <= near + MARGIN, "hard": far <= near}
        if kept[kind]:
            found.append((a, p, n))
    return found


def columns(triplets: Triplets) -> tuple[Tensor, Tensor, Tensor]:
    a, p, n = torch.tensor(triplets, dtype=torch.int64).reshape(-1, 3).unbind(1)
    return a, p, n


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("anchors", [12, 7])
def test_the_counts_are_those_of_a_slow_loop(kind: str, distance: str, anchors: int) -> None:
    references, pairs = points(anchors=anchors)
    far = distances_of(distance_of(distance), references.embeddings[:anchors], references.embeddings)
    expected = torch.zeros(anchors, 12, dtype=torch.int64)
    triplets = listed(kind, references, anchors, distance == "cosine")
    for a, p, n in triplets:
        expected[a, p] += 1
        expected[a, n] += 1
    assert torch.equal(of_kind(kind, counted(far, pairs, MARGIN)), expected)
    assert triplets


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("anchors", [12, 7])
def test_value_gradient_and_words_are_the_library_s_of_the_listed_triplets(
    kind: str, distance: str, anchors: int
) -> None:
    references, pairs = points(anchors=anchors, seed=5, width=8)
    measure = distance_of(distance)
    chosen = columns(listed(kind, references, anchors, distance == "cosine"))
    library = losses.TripletMarginLoss(MARGIN, distance=measure, reducer=reducers.AvgNonZeroReducer())

    ours = references.embeddings.clone().requires_grad_()
    far = distances_of(measure, ours[:anchors], ours)
    loss, words = triplet_margin(kind, far, pairs, MARGIN)
    loss.backward()
    theirs = references.embeddings.clone().requires_grad_()
    expected = library(theirs[:anchors], indices_tuple=chosen, ref_emb=theirs)
    expected.backward()

    torch.testing.assert_close(loss, expected.reshape(()))
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=1e-5)
    known = stats.of_triplets(far.detach(), chosen, MARGIN)
    assert words.keys() == known.keys()
    for name, value in known.items():
        torch.testing.assert_close(words[name], value, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("kind", ["easy", "semihard", "hard"])
def test_without_patients_there_are_as_many_as_the_library_mines(kind: str) -> None:
    references, _ = points(count=40, seed=3)
    references = references._replace(patients=torch.full((40,), -1))
    library = miners.TripletMarginMiner(margin=MARGIN, type_of_triplets=kind, distance=distance_of("euclidean"))
    anchors, _, _ = library(references.embeddings, references.labels)
    far = distances_of(distance_of("euclidean"), references.embeddings, references.embeddings)
    _, words = triplet_margin(kind, far, allowed(40, references), MARGIN)
    assert words["mined"] == len(anchors) > 0


def test_ties_and_the_margin_s_edge_by_hand() -> None:
    # an anchor with positives at 0.25 and 0.5, negatives at 0.25, 0.5, 0.625 and 0.75; margin 0.25
    far = torch.tensor([[0.0, 0.25, 0.5, 0.25, 0.5, 0.625, 0.75]])
    positive = torch.tensor([[False, True, True, False, False, False, False]])
    pairs = Pairs(positive, torch.tensor([[False, False, False, True, True, True, True]]))
    mined = {kind: triplet_margin(kind, far, pairs, 0.25)[1]["mined"].item() for kind in KINDS}
    # gaps: 0, 0.25, 0.375, 0.5 and -0.25, 0, 0.125, 0.25; a gap of 0 is hard, one of the margin itself is semihard
    assert mined == {"all": 8, "easy": 2, "semihard": 3, "hard": 3}
    loss = {kind: triplet_margin(kind, far, pairs, 0.25)[0].item() for kind in KINDS}
    # those at the margin have no loss and do not count in the mean
    assert loss == {"all": 1.125 / 4, "easy": 0, "semihard": 0.125, "hard": pytest.approx(1 / 3)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]], ids=["empty", "one", "one class", "no positive"])
def test_without_triplets_the_loss_is_0_and_connected(kind: str, labels: list[int]) -> None:
    vectors = torch.eye(4)[: len(labels)].requires_grad_()
    references = References(vectors, torch.tensor(labels, dtype=torch.int64), torch.full((len(labels),), -1))
    far = distances_of(distance_of("euclidean"), vectors, vectors)
    loss, words = triplet_margin(kind, far, allowed(len(labels), references), MARGIN)
    loss.backward()
    assert loss == 0
    assert all(value == 0 for value in words.values())
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_a_large_batch_takes_no_list_of_triplets() -> None:
    # 1,500 anchors of two classes have 840 million triplets; 20 GB as a list of numbers
    references, _ = points(count=1500, width=16)
    references = references._replace(labels=references.labels % 2, patients=torch.full((1500,), -1))
    far = distances_of(distance_of("euclidean"), references.embeddings, references.embeddings)
    loss, words = triplet_margin("all", far, allowed(1500, references), MARGIN)
    each = torch.bincount(references.labels).double()
    assert words["mined"].item() == pytest.approx(float((each * (each - 1) * each.flip(0)).sum()), rel=1e-6)
    sample = np.random.default_rng(0)
    gaps = []
    for a in sample.integers(0, 1500, 300):
        same = (references.labels == references.labels[a]).numpy()
        p = sample.choice(np.flatnonzero(same & (np.arange(1500) != a)), 300)
        n = sample.choice(np.flatnonzero(~same), 300)
        gaps.append((far[a, p] - far[a, n]).numpy() + MARGIN)
    violated = np.concatenate(gaps)
    assert loss.item() == pytest.approx(violated[violated > 0].mean(), rel=0.02)


def test_an_unchecked_word_does_not_get_through() -> None:
    _, pairs = points()
    with pytest.raises(AssertionError, match="semi-hard"):
        triplet_margin("semi-hard", torch.zeros(12, 12), pairs, MARGIN)
