"""What to watch while an embedding is learned; float32 scalars without gradient, computed without waiting for a GPU.

`mined`: triplets, or for losses over pairs the positive pairs whose anchor has a negative. `active`: share of the
triplets whose loss is above 0; for pairs, of the positive pairs that are farther apart than the anchor and its nearest
negative. `positive_distance`, `negative_distance`: means over the triplets or the allowed pairs, in units of the
recipe's distance. Where nothing was mined these three are 0, so that an epoch's mean weighted by `mined` is the mean
over what was mined. `spread`: see the function of that name.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from contrastive_cxr.objectives.mining import Triplets
from contrastive_cxr.objectives.pairs import Pairs


def of_triplets(distances: Tensor, triplets: Triplets, margin: float) -> dict[str, Tensor]:
    """Describe triplets by the distances `distances` float32 [B, M]."""
    anchors, positives, negatives = triplets
    positive, negative = distances[anchors, positives], distances[anchors, negatives]
    every = torch.ones_like(positive, dtype=torch.bool)
    return {
        "mined": every.sum().float(),
        "active": _mean((positive - negative + margin > 0).float(), every),
        "positive_distance": _mean(positive, every),
        "negative_distance": _mean(negative, every),
    }


def of_pairs(distances: Tensor, pairs: Pairs) -> dict[str, Tensor]:
    """Describe the allowed pairs by the distances `distances` float32 [B, M]."""
    mined = pairs.positive & pairs.negative.any(dim=1, keepdim=True)
    negative = pairs.negative & pairs.positive.any(dim=1, keepdim=True)
    # A column of infinity lets the minimum be taken of a batch without references.
    nearest = functional.pad(distances.masked_fill(~pairs.negative, math.inf), (0, 1), value=math.inf).amin(
        1, keepdim=True
    )
    return {
        "mined": mined.sum().float(),
        "active": _mean((distances > nearest).float(), mined),
        "positive_distance": _mean(distances, mined),
        "negative_distance": _mean(distances, negative),
    }


def spread(vectors: Tensor) -> Tensor:
    """Mean standard deviation of a unit vector's coordinates, times the root of their number.

    About 1 for vectors spread evenly over the sphere, 0 where all are the same: a collapsed embedding.

    Parameters
    ----------
    vectors : Tensor
        float32 [B, D]; scaled to unit length here. B may be 0, which has spread 0.
    """
    unit = functional.normalize(vectors, dim=1)
    centred = unit - unit.sum(dim=0) / max(len(unit), 1)
    deviation = (centred.square().sum(dim=0) / max(len(unit), 1)).sqrt()
    return deviation.mean() * math.sqrt(vectors.shape[1])


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp(min=1)
