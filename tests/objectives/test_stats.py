from __future__ import annotations

import pytest
import torch

from contrastive_cxr.objectives import stats
from contrastive_cxr.objectives.pairs import Pairs

FAR = torch.tensor([[0.0, 0.2, 0.5, 0.9], [0.2, 0.0, 0.1, 0.6]])


def test_triplets_by_hand() -> None:
    triplets = (torch.tensor([0, 0, 1]), torch.tensor([1, 2, 0]), torch.tensor([3, 3, 2]))
    found = {name: round(value.item(), 5) for name, value in stats.of_triplets(FAR, triplets, margin=0.3).items()}
    # Violations: 0.2 - 0.9 + 0.3 < 0, 0.5 - 0.9 + 0.3 < 0, 0.2 - 0.1 + 0.3 > 0.
    assert found == {"mined": 3, "active": 0.33333, "positive_distance": 0.3, "negative_distance": 0.63333}


def test_pairs_by_hand() -> None:
    positive = torch.tensor([[False, True, True, False], [True, False, False, False]])
    negative = torch.tensor([[False, False, False, True], [False, False, True, True]])
    found = {name: round(value.item(), 5) for name, value in stats.of_pairs(FAR, Pairs(positive, negative)).items()}
    # Anchor 0: 0.2 and 0.5 before 0.9; anchor 1: 0.2 behind 0.1.
    assert found == {"mined": 3, "active": 0.33333, "positive_distance": 0.3, "negative_distance": 0.53333}


def test_spread_is_1_on_the_sphere_and_0_in_a_point() -> None:
    vectors = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    assert stats.spread(vectors).item() == pytest.approx(1, abs=0.02)
    assert stats.spread(100 * vectors).item() == pytest.approx(1, abs=0.02), "vectors are brought to unit length"
    assert stats.spread(torch.ones(5, 64)).item() == pytest.approx(0, abs=1e-6)
    assert stats.spread(torch.ones(0, 64)).item() == 0
