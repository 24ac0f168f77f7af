"""The losses of `recipe.schema.Embed.loss`, from pytorch-metric-learning."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pytorch_metric_learning import distances, reducers
from pytorch_metric_learning import losses as library
from pytorch_metric_learning.losses.generic_pair_loss import GenericPairLoss
from torch import Tensor, nn

from contrastive_cxr.recipe import schema


class NTXent(GenericPairLoss):  # type: ignore[misc]
    """The library's `NTXentLoss`, the same value from one matrix.

    For each positive pair, -log(e^(p / t) / (e^(p / t) + sum of e^(n / t) over the anchor's negatives n)), averaged
    over the pairs. The library compares each positive pair with each negative pair of the batch, some B^4 / 4 floats:
    0.3 GB at 128 images of two classes, 20 GB with a memory of 1024 beside them. Here it is B M.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__(mat_based_loss=True)
        self.temperature = temperature

    def _compute_loss(self, mat: Tensor, pos_mask: Tensor, neg_mask: Tensor) -> dict[str, dict[str, object]]:
        scaled = mat / self.temperature
        lowest = torch.finfo(scaled.dtype).min
        others = scaled.masked_fill(neg_mask == 0, lowest).logsumexp(dim=1, keepdim=True)
        losses = (torch.logaddexp(scaled, others) - scaled)[pos_mask.bool()]
        indices = torch.where(pos_mask)
        return {"loss": {"losses": losses, "indices": indices, "reduction_type": "pos_pair"}}

    def get_default_distance(self) -> distances.BaseDistance:
        return distances.CosineSimilarity()


def distance_of(word: str) -> distances.BaseDistance:
    """Return the distance of that name on vectors scaled to unit length.

    `euclidean` goes from 0 to 2. `cosine` is held by the library as a similarity s; margins and statistics are in units
    of 1 - s, also from 0 to 2, so one margin is not the same in both: 1 - s = euclidean^2 / 2.
    """
    if word == "cosine":
        return distances.CosineSimilarity()
    assert word == "euclidean", f"there is no distance '{word}'; the recipe's check lets cosine and euclidean through"
    return distances.LpDistance(p=2, power=1, normalize_embeddings=True)


def distances_of(distance: distances.BaseDistance, vectors: Tensor, references: Tensor) -> Tensor:
    """Distances float32 [B, M], 0 to 2, of vectors [B, D] and references [M, D]: a similarity s becomes 1 - s."""
    matrix: Tensor = distance(vectors, references)
    return 1.0 - matrix if distance.is_inverted else matrix


def loss_of(embed: schema.Embed) -> nn.Module:
    """Return the loss that `embed` names.

    `triplet` averages over the triplets whose loss is not 0 (the library's default, our reading of the seed study), so
    that easy triplets do not dilute the others. `nt-xent` averages over positive pairs, `supcon` over anchors with a
    loss, `multi-similarity` (alpha 2, beta 50, base 0.5: the library's) over anchors.
    """
    losses: dict[str, Callable[[], nn.Module]] = {
        "triplet": lambda: library.TripletMarginLoss(
            margin=embed.margin, distance=distance_of(embed.distance), reducer=reducers.AvgNonZeroReducer()
        ),
        "nt-xent": lambda: NTXent(temperature=embed.temperature),
        "supcon": lambda: library.SupConLoss(temperature=embed.temperature),
        "multi-similarity": lambda: library.MultiSimilarityLoss(alpha=2, beta=50, base=0.5),
    }
    return losses[embed.loss]()
