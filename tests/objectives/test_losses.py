from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_metric_learning import losses as library

from contrastive_cxr.objectives import build
from contrastive_cxr.objectives.losses import NTXent, distance_of, distances_of
from contrastive_cxr.recipe.schema import Embed

Floats = NDArray[np.float64]


def batch(count: int = 10, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 5, generator=generator)
    return (
        vectors,
        torch.randint(0, 3, (count,), generator=generator),
        torch.randint(-1, 3, (count,), generator=generator),
    )


def slow_pairs(labels: torch.Tensor, patients: torch.Tensor, a: int) -> tuple[list[int], list[int]]:
    everyone = range(len(labels))
    positives = [b for b in everyone if b != a and labels[b] == labels[a]]
    negatives = [b for b in everyone if labels[b] != labels[a] and not (patients[a] == patients[b] >= 0)]
    return positives, negatives


def similarities(vectors: torch.Tensor) -> Floats:
    unit = vectors.double().numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_triplet_loss_is_the_mean_over_triplets_that_have_one(distance: str) -> None:
    vectors, labels, patients = batch()
    similarity = similarities(vectors)
    far = 1 - similarity if distance == "cosine" else np.sqrt(np.maximum(2 - 2 * similarity, 0))
    violations = []
    for a in range(len(vectors)):
        positives, negatives = slow_pairs(labels, patients, a)
        violations += [far[a, p] - far[a, n] + 0.4 for p in positives for n in negatives]
    active = [violation for violation in violations if violation > 0]
    objective = build(Embed(loss="triplet", mining="all", distance=distance, margin=0.4))
    loss, stats = objective(vectors, labels, patients, seed=0)
    assert loss.item() == pytest.approx(np.mean(active), rel=1e-5)
    assert stats["mined"].item() == len(violations)
    assert stats["active"].item() == pytest.approx(len(active) / len(violations))


def test_nt_xent_is_a_slow_loop_s() -> None:
    vectors, labels, patients = batch()
    scaled = similarities(vectors) / 0.2
    losses = []
    for a in range(len(vectors)):
        positives, negatives = slow_pairs(labels, patients, a)
        for p in positives:
            others = sum(np.exp(scaled[a, n]) for n in negatives)
            losses.append(-np.log(np.exp(scaled[a, p]) / (np.exp(scaled[a, p]) + others)))
    loss, stats = build(Embed(loss="nt-xent", temperature=0.2))(vectors, labels, patients, seed=0)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-5)
    assert stats["mined"].item() == len(losses)


def test_nt_xent_and_its_gradient_are_the_library_s() -> None:
    vectors, labels, _ = batch(seed=2)
    gradients = []
    for function in (NTXent(temperature=0.1), library.NTXentLoss(temperature=0.1)):
        leaf = vectors.clone().requires_grad_()
        loss = function(leaf, labels)
        loss.backward()
        gradients.append((loss.detach(), leaf.grad))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_supcon_is_a_slow_loop_s() -> None:
    vectors, labels, patients = batch()
    scaled = similarities(vectors) / 0.3
    losses = []
    for a in range(len(vectors)):
        positives, negatives = slow_pairs(labels, patients, a)
        if positives:
            total = np.log(sum(np.exp(scaled[a, b]) for b in positives + negatives))
            losses.append(np.mean([total - scaled[a, p] for p in positives]))
    loss, _ = build(Embed(loss="supcon", temperature=0.3))(vectors, labels, patients, seed=0)
    assert loss.item() == pytest.approx(np.mean([value for value in losses if value > 0]), rel=1e-5)


def test_multi_similarity_is_a_slow_loop_s() -> None:
    vectors, labels, patients = batch()
    similarity = similarities(vectors)
    losses = []
    for a in range(len(vectors)):
        positives, negatives = slow_pairs(labels, patients, a)
        together = np.log(1 + sum(np.exp(-2 * (similarity[a, p] - 0.5)) for p in positives)) / 2
        apart = np.log(1 + sum(np.exp(50 * (similarity[a, n] - 0.5)) for n in negatives)) / 50
        losses.append(together + apart)
    loss, _ = build(Embed(loss="multi-similarity"))(vectors, labels, patients, seed=0)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_both_distances_go_from_0_to_2() -> None:
    vectors = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    for word, expected in (("cosine", [0, 0, 1, 2]), ("euclidean", [0, 0, 2**0.5, 2])):
        found = distances_of(distance_of(word), vectors[:1], vectors)[0]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-6)
