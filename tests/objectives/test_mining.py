from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from contrastive_cxr.objectives.losses import distance_of, distances_of
from contrastive_cxr.objectives.mining import Triplets, mine
from contrastive_cxr.objectives.pairs import Pairs, References, allowed
from tests.objectives.points import points

MINING = ("random", "batch-hard", "distance-weighted")


def distances(references: References, pairs: Pairs, word: str = "euclidean") -> Tensor:
    vectors = references.embeddings
    return distances_of(distance_of(word), vectors[: len(pairs.positive)], vectors)


def as_set(triplets: Triplets) -> set[tuple[int, ...]]:
    listed = list(zip(*(part.tolist() for part in triplets), strict=True))
    assert len(set(listed)) == len(listed), "a triplet is listed once"
    return set(listed)


def slow(references: References, anchors: int) -> set[tuple[int, ...]]:
    """Every triplet by three loops, from the rows alone."""
    labels, patients = references.labels.tolist(), references.patients.tolist()
    every = itertools.product(range(anchors), range(len(labels)), range(len(labels)))
    return {
        (a, p, n)
        for a, p, n in every
        if a != p and labels[a] == labels[p] and labels[a] != labels[n] and not (patients[a] == patients[n] >= 0)
    }


@pytest.mark.parametrize("anchors", [12, 7])
def test_batch_hard_takes_the_farthest_positive_and_the_nearest_negative(anchors: int) -> None:
    references, pairs = points(anchors=anchors, seed=1)
    far = distances(references, pairs)
    every = slow(references, anchors)
    expected = set()
    for a in {a for a, _, _ in every}:
        p = max((p for b, p, _ in every if a == b), key=lambda p: float(far[a, p]))
        n = min((n for b, _, n in every if a == b), key=lambda n: float(far[a, n]))
        expected.add((a, p, n))
    assert as_set(mine("batch-hard", far, pairs, 4, seed=0)) == expected


def test_random_draws_one_allowed_triplet_an_anchor_and_in_time_all() -> None:
    references, pairs = points(seed=2)
    far, every = distances(references, pairs), slow(references, 12)
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(400):
        found = as_set(mine("random", far, pairs, 4, seed))
        assert {a for a, _, _ in found} == {a for a, _, _ in every}
        assert len(found) == len({a for a, _, _ in every})
        counts.update(found)
    assert set(counts) == every
    first = min(a for a, _, _ in every)
    expected = 400 / sum(a == first for a, _, _ in every)
    drawn = [count for (a, _, _), count in counts.items() if a == first]
    assert max(abs(count - expected) for count in drawn) < 5 * expected**0.5


def test_distance_weighted_draws_by_the_inverse_density_of_distances() -> None:
    references, pairs = points(seed=4, width=8)
    far = distances(references, pairs)
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(600):
        anchors, _, negatives = mine("distance-weighted", far, pairs, 8, seed)
        counts.update(zip(anchors.tolist(), negatives.tolist(), strict=True))
    x = references.embeddings.double().numpy()
    for a in range(12):
        weights = {}
        for n in range(12):
            d = max(float(np.linalg.norm(x[a] - x[n])), 0.5)
            if pairs.negative[a, n] and d < 1.4:
                # q(d) of Wu et al. 2017: the density of distances between points on the unit sphere in 8 dimensions.
                weights[n] = 1 / (d ** (8 - 2) * (1 - d * d / 4) ** ((8 - 3) / 2))
        total = sum(counts[a, n] for n in range(12))
        assert total == 600 * int(pairs.positive[a].sum()) * bool(weights), "one for each positive pair"
        for n in range(12):
            share = weights.get(n, 0) / sum(weights.values()) if weights else 0
            assert abs(counts[a, n] - total * share) <= 5 * (total * share * (1 - share)) ** 0.5 + 1e-9, (a, n)


def test_distance_weighted_is_finite_at_the_published_width() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(16, 512, generator=generator) + 1.0, dim=1)
    references = References(vectors, torch.arange(16) % 2, torch.full((16,), -1))
    pairs = allowed(16, references)
    anchors, positives, negatives = mine("distance-weighted", distances(references, pairs), pairs, 512, seed=0)
    assert len(anchors) == 16 * 7
    assert pairs.positive[anchors, positives].all()
    assert pairs.negative[anchors, negatives].all()
    assert len(set(negatives.tolist())) > 8, "the draw is not always the same one"


@pytest.mark.parametrize("word", MINING)
def test_no_slice_of_the_anchor_s_patient_is_a_negative(word: str) -> None:
    for seed in range(30):
        references, pairs = points(count=14, anchors=9, seed=seed)
        anchors, positives, negatives = mine(word, distances(references, pairs), pairs, 4, seed)
        labels, patients = references.labels, references.patients
        assert (anchors != positives).all()
        assert (labels[anchors] == labels[positives]).all()
        assert (labels[anchors] != labels[negatives]).all()
        assert not ((patients[anchors] == patients[negatives]) & (patients[anchors] >= 0)).any()


@pytest.mark.parametrize("word", ["random", "distance-weighted"])
def test_a_seed_repeats_whatever_the_global_generator_does(word: str) -> None:
    references, pairs = points(count=30)
    far = distances(references, pairs)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = mine(word, far, pairs, 4, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    again, other = (mine(word, far, pairs, 4, seed) for seed in (5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[2], other[2])


@pytest.mark.parametrize("word", MINING)
@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]], ids=["empty", "one", "one class", "no positive"])
def test_without_triplets_there_are_none(word: str, labels: list[int]) -> None:
    vectors = torch.eye(4)[: len(labels)]
    references = References(vectors, torch.tensor(labels, dtype=torch.int64), torch.full((len(labels),), -1))
    pairs = allowed(len(labels), references)
    triplets = mine(word, distances(references, pairs), pairs, 4, seed=0)
    assert [len(part) for part in triplets] == [0, 0, 0]


def test_distance_weighted_draws_the_same_in_parts_as_at_once() -> None:
    references, pairs = points(count=40, seed=7, width=16)
    far = distances(references, pairs)
    anchors, positives, negatives = mine("distance-weighted", far, pairs, 16, seed=3)
    assert len(anchors) > 2 * len(far), "more pairs than a part has"
    near = far.clamp(min=0.5)
    weight = (2.0 - 16) * near.log() - (16 - 3) / 2 * (1.0 - near**2 / 4).log()
    weight[~(pairs.negative & (near < 1.4))] = -torch.inf
    uniform = torch.rand(len(anchors), 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.equal(negatives, (weight[anchors] - torch.log(-torch.log(uniform)).float()).argmax(dim=1))
    assert pairs.positive[anchors, positives].all()


def test_an_unchecked_word_does_not_get_through() -> None:
    references, pairs = points()
    with pytest.raises(AssertionError, match="semi-hard"):
        mine("semi-hard", distances(references, pairs), pairs, 4, seed=0)
