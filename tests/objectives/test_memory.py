from __future__ import annotations

import io

import pytest
import torch

from contrastive_cxr.errors import RequestError
from contrastive_cxr.objectives import Objective, build
from contrastive_cxr.objectives.memory import Memory
from contrastive_cxr.objectives.pairs import References
from contrastive_cxr.recipe.schema import Embed


def batch(*labels: int) -> References:
    rows = torch.tensor(labels)
    return References(rows[:, None] * torch.ones(1, 3), rows, rows + 100)


def objective(**changes: object) -> Objective:
    return build(Embed(**({"memory_bank_size": 6, "projection": (3,), "mining": "all", "margin": 2.0} | changes)))


def test_the_last_places_are_kept_in_a_ring() -> None:
    memory = Memory(5, 3)
    memory.remember(batch(1, 2, 3))
    assert memory.labels.tolist() == [1, 2, 3, -1, -1]
    memory.remember(batch(4, 5, 6))
    assert memory.labels.tolist() == [6, 2, 3, 4, 5]
    assert memory.embeddings[:, 0].tolist() == [6, 2, 3, 4, 5]
    assert memory.patients.tolist() == [106, 102, 103, 104, 105]
    memory.remember(batch(*range(10, 18)))
    assert sorted(memory.labels.tolist()) == [13, 14, 15, 16, 17]


def test_past_embeddings_are_positives_and_negatives() -> None:
    compared = objective()
    nobody = torch.full((3,), -1)
    first = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    _, stats = compared(first, torch.tensor([0, 0, 1]), nobody, seed=0)
    assert stats["mined"].item() == 2, "the empty places are compared with nothing"
    second = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    loss, stats = compared(second, torch.tensor([0, 1, 2]), nobody, seed=0)
    # Anchor 0: positives 2 past, negatives 2 + 1 past; anchor 1: 1 past, 2 + 2 past; anchor 2: no positive.
    assert stats["mined"].item() == 2 * 3 + 1 * 4
    everyone = torch.nn.functional.normalize(torch.cat([second, first]), dim=1)
    far = torch.cdist(everyone[:3], everyone)
    expected = [far[0, p] - far[0, n] + 2 for p in (3, 4) for n in (1, 2, 5)]
    expected += [far[1, 5] - far[1, n] + 2 for n in (0, 2, 3, 4)]
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_the_patient_rule_holds_against_the_past() -> None:
    compared = objective()
    compared(torch.eye(3), torch.tensor([0, 0, 1]), torch.tensor([1, 2, 3]), seed=0)
    _, stats = compared(torch.eye(3)[:1], torch.tensor([1]), torch.tensor([2]), seed=0)
    assert stats["mined"].item() == 1, "of two past negatives one is of the anchor's patient"


@pytest.mark.parametrize("loss", ["triplet", "nt-xent", "supcon", "multi-similarity"])
@pytest.mark.parametrize("mining", ["random", "semihard", "batch-hard", "distance-weighted"])
def test_a_saved_memory_goes_on_alike(loss: str, mining: str) -> None:
    generator = torch.Generator().manual_seed(3)
    steps = [torch.randn(4, 3, generator=generator) for _ in range(4)]
    labels, patients = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, -1, 2])
    whole, before, after = (objective(loss=loss, mining=mining, margin=0.5) for _ in range(3))
    expected = [whole(vectors, labels, patients, seed) for seed, vectors in enumerate(steps)]
    for seed in (0, 1):
        before(steps[seed], labels, patients, seed)
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    file.seek(0)
    after.load_state_dict(torch.load(file, weights_only=True))
    for seed in (2, 3):
        loss_found, stats = after(steps[seed], labels, patients, seed)
        assert torch.equal(loss_found, expected[seed][0])
        assert all(torch.equal(stats[name], expected[seed][1][name]) for name in stats)


def test_evaluation_neither_reads_nor_fills_the_memory() -> None:
    compared, alone = objective(), objective(memory_bank_size=0)
    vectors, labels, nobody = torch.eye(3), torch.tensor([0, 0, 1]), torch.full((3,), -1)
    compared(vectors.flip(0), labels, nobody, seed=0)
    before = {name: value.clone() for name, value in compared.state_dict().items()}
    assert torch.equal(compared.eval()(vectors, labels, nobody, seed=0)[0], alone(vectors, labels, nobody, seed=0)[0])
    assert all(torch.equal(before[name], value) for name, value in compared.state_dict().items())


def test_no_gradient_reaches_the_past() -> None:
    compared = objective()
    first = torch.randn(3, 3, requires_grad=True)
    compared(first, torch.tensor([0, 0, 1]), torch.full((3,), -1), seed=0)
    second = torch.randn(3, 3, requires_grad=True)
    compared(second, torch.tensor([0, 1, 1]), torch.full((3,), -1), seed=0)[0].backward()
    assert first.grad is None
    assert second.grad is not None
    assert second.grad.isfinite().all()


def test_a_memory_needs_a_width() -> None:
    with pytest.raises(RequestError, match=r"embed.memory_bank_size is 6 and embed.projection is empty"):
        objective(projection=())
    assert build(Embed(memory_bank_size=6, projection=()), width=9).memory.embeddings.shape == (6, 9)
