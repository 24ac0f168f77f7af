"""The triplet margin loss over every triplet of a kind, from the matrix of distances alone.

A triplet (anchor, positive, negative) is of a kind by its gap, how much farther the negative is than the positive:
`easy` above the margin, `semihard` above 0 and up to the margin, `hard` 0 or less, `all` any. Its loss is margin - gap,
or 0. So for each positive it is enough to know how many negatives lie in its band of distances, and for each negative
in how many bands it lies: one sort of each anchor's distances tells both, and with these counts as coefficients the sum
of the losses is linear in the distances. Value and gradient are those of pytorch-metric-learning's TripletMarginLoss
over its TripletMarginMiner's list, which grows with the cube of the batch; here B M log M time and B M memory, for B
anchors and M references, and nothing waits for a GPU.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from contrastive_cxr.objectives.pairs import Pairs

KINDS = ("all", "easy", "semihard", "hard")


class Counts(NamedTuple):
    """Partners of each allowed pair of an anchor: negatives of a positive pair, positives of a negative pair.

    Each int64 [B, M], 0 where no pair is allowed. For a positive p and a negative n at the distances d:

    Attributes
    ----------
    every
        All partners.
    nearer
        d(n) <= d(p).
    within, reached
        d(n) < d(p) + margin: those with a loss; d(n) <= d(p) + margin.
    """

    every: Tensor
    nearer: Tensor
    within: Tensor
    reached: Tensor


def triplet_margin(kind: str, distances: Tensor, pairs: Pairs, margin: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss over the triplets of a kind that have one, and what there is to watch.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    far : Tensor
        Distances of anchors and references, float32 [B, M], with gradient.
    pairs : Pairs
        The allowed pairs, bool [B, M] each.
    margin : float
        Above 0, in units of `distances`.

    Returns
    -------
    loss : Tensor
        float32 scalar; 0 and connected to `distances` where no triplet has a loss.
    stats : dict of str to Tensor
        As `stats.of_triplets` of the listed triplets.
    """
    assert kind in KINDS, f"there are no '{kind}' triplets; the recipe lets none such through"
    counts = counted(distances.detach(), pairs, margin)
    mined, active = of_kind(kind, counts), losing(kind, counts)
    number = total(active, pairs.positive)
    # pulled in by each triplet it is the positive of, pushed away by each it is the negative of
    coefficients = torch.where(pairs.positive, active, -active)
    loss = (coefficients * distances.double()).sum() + margin * number
    return (loss / number.clamp(min=1)).float(), described(distances.detach(), pairs, mined, number)


def counted(distances: Tensor, pairs: Pairs, margin: float) -> Counts:
    """Count the partners of every pair; see `Counts`."""
    positives = distances.masked_fill(~pairs.positive, math.inf).sort(dim=1).values
    negatives = distances.masked_fill(~pairs.negative, math.inf).sort(dim=1).values
    many_positives, many_negatives = (mask.sum(dim=1, keepdim=True) for mask in pairs)
    edges = positives + margin

    def up_to(ordered: Tensor, values: Tensor, equal: bool) -> Tensor:
        return torch.searchsorted(ordered, values.contiguous(), right=equal)

    of_positives = (
        many_negatives.expand_as(distances),
        up_to(negatives, distances, True),
        up_to(negatives, distances + margin, False),
        up_to(negatives, distances + margin, True),
    )
    of_negatives = (
        many_positives.expand_as(distances),
        many_positives - up_to(positives, distances, False),
        many_positives - up_to(edges, distances, True),
        many_positives - up_to(edges, distances, False),
    )
    zero = distances.new_zeros((), dtype=torch.int64)
    return Counts(
        *(
            torch.where(pairs.positive, one, torch.where(pairs.negative, other, zero))
            for one, other in zip(of_positives, of_negatives, strict=True)
        )
    )


def of_kind(kind: str, counts: Counts) -> Tensor:
    """Triplets of a kind that each pair is part of, int64 [B, M]."""
    return {
        "all": counts.every,
        "easy": counts.every - counts.reached,
        "semihard": counts.reached - counts.nearer,
        "hard": counts.nearer,
    }[kind]


def losing(kind: str, counts: Counts) -> Tensor:
    """Those of them whose loss is above 0, int64 [B, M]."""
    return {
        "all": counts.within,
        "easy": torch.zeros_like(counts.within),
        "semihard": counts.within - counts.nearer,
        "hard": counts.nearer,
    }[kind]


def total(triplets: Tensor, positive: Tensor) -> Tensor:
    """How many triplets those are: each is counted once among the positive pairs."""
    return (triplets * positive).sum()


def described(distances: Tensor, pairs: Pairs, mined: Tensor, active: Tensor) -> dict[str, Tensor]:
    """What `stats.of_triplets` says, from the counts."""
    number = total(mined, pairs.positive)
    sums = [(distances.double() * mined * mask).sum() for mask in pairs]
    each = [(value / number.clamp(min=1)).float() for value in (active, *sums)]
    return {
        "mined": number.float(),
        **dict(zip(("active", "positive_distance", "negative_distance"), each, strict=True)),
    }
