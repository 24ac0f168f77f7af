"""Mining among any labels, patients and distances, ties among them: distances are multiples of 1/8 and sums exact."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from contrastive_cxr.objectives.mining import mine
from contrastive_cxr.objectives.pairs import Pairs, References, allowed
from contrastive_cxr.objectives.triplet_margin import KINDS, counted, of_kind, triplet_margin

MARGIN = 0.25


class Batch(NamedTuple):
    """Anchors among references, and the distances of the two."""

    labels: list[int]
    patients: list[int]
    far: Tensor
    pairs: Pairs


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """1 to 12 references, some empty places of a memory among them; the first of them are the anchors."""
    count = draw(st.integers(1, 12))
    anchors = draw(st.integers(1, count))
    labels = draw(st.lists(st.integers(0, 2), min_size=anchors, max_size=anchors))
    labels += draw(st.lists(st.integers(-1, 2), min_size=count - anchors, max_size=count - anchors))
    patients = draw(st.lists(st.integers(-1, 3), min_size=count, max_size=count))
    eighths = draw(st.lists(st.integers(0, 16), min_size=anchors * count, max_size=anchors * count))
    far = torch.tensor(eighths, dtype=torch.float32).reshape(anchors, count) / 8
    references = References(torch.zeros(count, 2), torch.tensor(labels), torch.tensor(patients))
    return Batch(labels, patients, far, allowed(anchors, references))


def every_triplet(batch: Batch) -> list[tuple[int, int, int]]:
    """All of them by three loops, from labels and patients alone."""
    labels, patients = batch.labels, batch.patients
    return [
        (a, p, n)
        for a in range(len(batch.far))
        for p in range(len(labels))
        for n in range(len(labels))
        if p != a and labels[p] == labels[a] and labels[n] != labels[a] and labels[n] >= 0
        if not (patients[n] == patients[a] >= 0)
    ]


@given(batches(), st.sampled_from(["random", "batch-hard", "distance-weighted"]), st.integers(0, 2**31))
def test_every_mined_triplet_is_valid(batch: Batch, word: str, seed: int) -> None:
    found = list(zip(*(part.tolist() for part in mine(word, batch.far, batch.pairs, 4, seed)), strict=True))
    every = every_triplet(batch)
    assert set(found) <= set(every)
    if word != "distance-weighted":  # which passes over negatives that are too far
        assert sorted(a for a, _, _ in found) == sorted({a for a, _, _ in every}), "one for each anchor that has any"


@given(batches())
def test_batch_hard_takes_the_hardest(batch: Batch) -> None:
    every = every_triplet(batch)
    for a, p, n in zip(*(part.tolist() for part in mine("batch-hard", batch.far, batch.pairs, 4, 0)), strict=True):
        assert batch.far[a, p] == max(batch.far[a, q] for b, q, _ in every if b == a)
        assert batch.far[a, n] == min(batch.far[a, q] for b, _, q in every if b == a)


@given(batches())
def test_triplets_by_margin_are_counted_as_by_a_loop(batch: Batch) -> None:
    far, every = batch.far.tolist(), every_triplet(batch)
    for kind in KINDS:
        expected, losses = [[0] * len(row) for row in far], []
        for a, p, n in every:
            gap = far[a][n] - far[a][p]
            if {"all": True, "easy": gap > MARGIN, "semihard": 0 < gap <= MARGIN, "hard": gap <= 0}[kind]:
                expected[a][p] += 1
                expected[a][n] += 1
                losses += [MARGIN - gap] if gap < MARGIN else []
        assert of_kind(kind, counted(batch.far, batch.pairs, MARGIN)).tolist() == expected, kind
        loss, stats = triplet_margin(kind, batch.far, batch.pairs, MARGIN)
        assert stats["mined"] == sum(map(sum, expected)) / 2
        torch.testing.assert_close(float(loss), sum(losses) / max(1, len(losses)), atol=1e-6, rtol=1e-6)
