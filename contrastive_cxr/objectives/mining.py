"""Which triplets are used, chosen from the matrix of distances and the mask of allowed pairs.

Own code where the library has miners: those know no patients, draw from the global generator, and take any word for a
kind of triplet, mining everything for one they do not know. The tests hold both to the same triplets.

Costs, for B anchors and M references (M = B without a memory): `random` and `batch-hard` take B M floats and
`distance-weighted` four times that for B of its positive pairs at a time. The kinds by margin (`all`, `easy`,
`semihard`, `hard`) are not listed at all: see `triplet_margin`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from contrastive_cxr.objectives.pairs import Pairs

# Wu et al. 2017, arXiv 1706.07567: what is nearer counts as this near; beyond the second the loss is 0 anyway.
NEAREST = 0.5
FARTHEST = 1.4

Triplets = tuple[Tensor, Tensor, Tensor]


def mine(strategy: str, distances: Tensor, pairs: Pairs, width: int, seed: int) -> Triplets:
    """Choose triplets.

    Parameters
    ----------
    word : str
        `random`: for each anchor one positive and one negative, uniformly; `batch-hard`: for each anchor its farthest
        positive and nearest negative (Hermans et al. 2017, arXiv 1703.07737); `distance-weighted`: for each positive
        pair one negative, by the inverse density of its euclidean distance.
    far : Tensor
        Distances of anchors and references, float32 [B, M], 0 to 2.
    pairs : Pairs
        The allowed pairs, bool [B, M] each.
    width : int
        Width D of the embedding (distance-weighted).
    seed : int
        Seed of the draws, made on the CPU: the same on every device (random, distance-weighted).

    Returns
    -------
    tuple of Tensor
        Anchors (rows), positives and negatives (columns), int64 [T] each; T may be 0.
    """
    if distances.numel() == 0:
        nobody = torch.zeros(0, dtype=torch.int64, device=distances.device)
        return nobody, nobody, nobody
    if strategy == "random":
        return _random(pairs, seed)
    if strategy == "batch-hard":
        return _batch_hard(distances, pairs)
    assert strategy == "distance-weighted", f"there is no mining '{strategy}'; the recipe lets none such through"
    return _distance_weighted(distances, pairs, width, seed)


def _random(pairs: Pairs, seed: int) -> Triplets:
    noise = torch.rand(2, *pairs.positive.shape, generator=_generator(seed))
    noise = noise.to(pairs.positive.device, non_blocking=True)
    return _one_each(pairs, torch.where(pairs.positive, noise[0], -1.0), torch.where(pairs.negative, noise[1], -1.0))


def _batch_hard(distances: Tensor, pairs: Pairs) -> Triplets:
    return _one_each(
        pairs, distances.masked_fill(~pairs.positive, -math.inf), (-distances).masked_fill(~pairs.negative, -math.inf)
    )


def _distance_weighted(distances: Tensor, pairs: Pairs, width: int, seed: int) -> Triplets:
    near = distances.clamp(min=NEAREST)
    weight = (2.0 - width) * near.log() - (width - 3) / 2 * (1.0 - near**2 / 4).clamp(min=1e-6).log()
    weight = weight.masked_fill(~(pairs.negative & (near < FARTHEST)), -math.inf)
    anchors, positives = torch.where(pairs.positive & (weight > -math.inf).any(dim=1, keepdim=True))
    if len(anchors) == 0:
        return anchors, positives, anchors
    # The largest of log-weight + Gumbel noise is a draw by weight; at width 512 the weights themselves would underflow.
    rng = _generator(seed)
    # Into one tensor made before: small results kept from each turn would split the freed memory of the large ones.
    negatives = torch.empty_like(anchors)
    for place, part in zip(torch.split(negatives, len(distances)), torch.split(anchors, len(distances)), strict=True):
        torch.argmax(weight[part] + _gumbel(len(part), distances, rng), dim=1, out=place)
    return anchors, positives, negatives


def _gumbel(count: int, distances: Tensor, rng: torch.Generator) -> Tensor:
    """Noise of `count` rows of references, drawn on the CPU: the same for whatever number of rows at a time."""
    uniform = torch.rand(count, distances.shape[1], generator=rng, dtype=torch.float64)
    return -torch.log(-torch.log(uniform.clamp(min=1e-300))).to(distances, non_blocking=True)


def _one_each(pairs: Pairs, positive_score: Tensor, negative_score: Tensor) -> Triplets:
    """The best positive and negative of each anchor that has both; scores of pairs that are not allowed are lowest."""
    anchors = torch.where(pairs.positive.any(dim=1) & pairs.negative.any(dim=1))[0]
    return anchors, positive_score[anchors].argmax(dim=1), negative_score[anchors].argmax(dim=1)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
