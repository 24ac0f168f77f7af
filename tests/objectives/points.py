"""Unit vectors with labels and patients, some unknown (-1), for the tests of mining and of losses."""

from __future__ import annotations

import torch

from contrastive_cxr.objectives.pairs import Pairs, References, allowed


def points(count: int = 12, anchors: int | None = None, seed: int = 0, width: int = 4) -> tuple[References, Pairs]:
    """`count` references of three classes, and what the first `anchors` of them (all) may be paired with."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(count, width, generator=generator), dim=1)
    labels = torch.randint(0, 3, (count,), generator=generator)
    patients = torch.randint(-1, 4, (count,), generator=generator)
    references = References(vectors, labels, patients)
    return references, allowed(anchors or count, references)
