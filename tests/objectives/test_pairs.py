from __future__ import annotations

import torch

from contrastive_cxr.objectives.pairs import References, allowed


def test_pairs_are_a_slow_loop_s() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(-1, 3, (14,), generator=generator)
    labels[:8] = labels[:8].clamp(min=0)
    patients = torch.randint(-1, 4, (14,), generator=generator)
    positive, negative = allowed(8, References(torch.zeros(14, 2), labels, patients))
    for a in range(8):
        for b in range(14):
            empty = labels[b] < 0
            same_patient = patients[a] >= 0 and patients[a] == patients[b]
            assert positive[a, b] == (a != b and labels[a] == labels[b] and not empty), (a, b)
            assert negative[a, b] == (labels[a] != labels[b] and not same_patient and not empty), (a, b)
    assert positive.any()
    assert negative.any()


def test_unknown_patients_are_nobody_s() -> None:
    batch = References(torch.zeros(2, 1), torch.tensor([0, 1]), torch.tensor([-1, -1]))
    assert allowed(2, batch).negative.tolist() == [[False, True], [True, False]]
