from __future__ import annotations

import pytest
import torch

from contrastive_cxr.objectives import build
from contrastive_cxr.recipe.schema import Embed

SETTINGS = [
    *(
        {"loss": "triplet", "mining": word}
        for word in ("random", "all", "easy", "semihard", "hard", "batch-hard", "distance-weighted")
    ),
    {"loss": "triplet", "mining": "random", "distance": "cosine"},
    {"loss": "nt-xent"},
    {"loss": "supcon"},
    {"loss": "multi-similarity"},
]


def named(settings: dict[str, str]) -> str:
    return "-".join(settings.values())


def vectors(count: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
def test_loss_statistics_and_gradient_are_finite(settings: dict[str, str]) -> None:
    leaf = vectors()
    loss, stats = build(Embed(**settings))(leaf, torch.arange(12) % 3, torch.arange(12) // 2, seed=1)
    loss.backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert set(stats) == {"mined", "active", "positive_distance", "negative_distance", "spread"}
    for name, value in stats.items():
        assert value.shape == (), name
        assert value.dtype == torch.float32, name
        assert not value.requires_grad, name
        assert value.isfinite(), name
    assert stats["mined"] > 0
    if settings.get("mining") != "easy":
        assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
@pytest.mark.parametrize("labels", [[], [0], [0, 0, 0], [0, 1, 2]], ids=["empty", "one", "one class", "no positive"])
def test_nothing_mined_is_a_zero_loss_with_a_graph(settings: dict[str, str], labels: list[int]) -> None:
    leaf = vectors(len(labels))
    unknown = torch.full((len(labels),), -1)
    rows = torch.tensor(labels, dtype=torch.int64)
    loss, stats = build(Embed(**settings))(leaf, rows, unknown, seed=1)
    loss.backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert loss.item() == 0
    assert stats["mined"].item() == 0
    assert all(value.isfinite() for value in stats.values())


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
def test_identical_embeddings_are_seen_as_collapsed_and_stay_finite(settings: dict[str, str]) -> None:
    leaf = torch.ones(6, 4, requires_grad=True)
    loss, stats = build(Embed(margin=0.5, **settings))(leaf, torch.arange(6) % 2, torch.arange(6), seed=1)
    loss.backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert stats["spread"].item() == pytest.approx(0, abs=1e-6)
    if settings["loss"] == "triplet" and stats["mined"] > 0:
        assert loss.item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
def test_shuffled_labels_leave_the_label_free_loss_alone(settings: dict[str, str]) -> None:
    """The phase gives image numbers as labels; the labels of the task have no way in."""
    objective = build(Embed(positives="augmented", **settings))
    images, patients = torch.arange(6).repeat(2), torch.full((12,), -1)
    first, _ = objective(vectors(), images, patients, seed=2)
    # Any other distinct numbers say the same.
    renamed, _ = objective(vectors(), torch.randperm(6).repeat(2) + 50, patients, seed=2)
    assert torch.equal(first, renamed)


def test_the_positive_of_a_view_is_the_other_view_alone() -> None:
    images, patients = torch.tensor([7, 8, 9] * 2), torch.tensor([1, 1, 2] * 2)
    _, stats = build(Embed(positives="augmented", mining="all"))(vectors(6), images, patients, seed=0)
    # Images 7 and 8 are of one patient, so a view of either has 2 negatives; a view of 9 has 4.
    assert stats["mined"].item() == 2 * (2 + 2 + 4)


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
def test_the_loss_is_float32_under_autocast(settings: dict[str, str]) -> None:
    objective = build(Embed(**settings))
    rows, patients = torch.arange(12) % 3, torch.full((12,), -1)
    halves = vectors().detach().bfloat16()
    expected, _ = objective(halves.float(), rows, patients, seed=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = objective(halves, rows, patients, seed=3)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)


def test_the_published_recipe_is_a_margin_of_a_half_on_one_random_triplet_an_anchor() -> None:
    objective = build(Embed(loss="triplet", mining="random", distance="euclidean", margin=0.5))
    rows = torch.arange(12) % 2
    loss, stats = objective(vectors(), rows, torch.full((12,), -1), seed=9)
    again, _ = objective(vectors(), rows, torch.full((12,), -1), seed=9)
    other, _ = objective(vectors(), rows, torch.full((12,), -1), seed=10)
    assert stats["mined"].item() == 12
    assert torch.equal(loss, again)
    assert not torch.equal(loss, other)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(AssertionError, match="3 embeddings, 2 labels and 3 patients"):
        build(Embed())(torch.eye(3), torch.tensor([0, 1]), torch.tensor([0, 1, 2]), seed=0)
