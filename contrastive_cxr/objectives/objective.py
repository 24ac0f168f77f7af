"""The contrastive objective: embeddings and labels in, a loss and what there is to watch out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import contrastive_cxr.objectives.stats as measured
from contrastive_cxr.errors import RequestError
from contrastive_cxr.objectives.losses import distance_of, distances_of, loss_of
from contrastive_cxr.objectives.memory import Memory
from contrastive_cxr.objectives.mining import mine
from contrastive_cxr.objectives.pairs import Pairs, References, allowed
from contrastive_cxr.objectives.triplet_margin import KINDS, triplet_margin
from contrastive_cxr.recipe import schema


def build(embed: schema.Embed, width: int | None = None) -> Objective:
    """Build the objective of a recipe.

    Parameters
    ----------
    embed : schema.Embed
        The phase's settings.
    width : int, optional
        Width of the embedding; default: the projection's last.

    Raises
    ------
    RequestError
        A memory is asked for and neither the projection nor `width` says how wide its vectors are.
    """
    if width is None and embed.projection:
        width = embed.projection[-1]
    if width is None and embed.memory_bank_size:
        raise RequestError(
            f"embed.memory_bank_size is {embed.memory_bank_size} and embed.projection is empty; a memory bank "
            "needs the embedding's width: give embed.projection at least one layer or set embed.memory_bank_size to 0"
        )
    return Objective(embed, width or 0)


class Objective(nn.Module):
    """Mining and loss of one recipe, with its cross-batch memory.

    Labels say who belongs together: classes with `positives: label` and `both`, the image's row number (given once for
    each view) with `augmented`, where no label of the task comes near the loss. With a memory, row numbers must be
    those of the data set: an earlier embedding of the same image is then a positive, and never one of another image.

    Parameters
    ----------
    embed : schema.Embed
        The phase's settings.
    width : int
        Width D of the embedding.
    """

    def __init__(self, embed: schema.Embed, width: int) -> None:
        super().__init__()
        self.memory = Memory(embed.memory_bank_size, width)
        self.loss = loss_of(embed)
        self.distance = distance_of(embed.distance)
        self.margin = embed.margin
        self.mining = embed.mining if embed.loss == "triplet" else None

    def forward(
        self, embeddings: Tensor, labels: Tensor, patients: Tensor, seed: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare a batch with itself and, while training, with the memory, which then takes the batch in.

        Parameters
        ----------
        embeddings : Tensor
            floating [B, D]; scaled to unit length here. Two views of B/2 images are concatenated.
        labels : Tensor
            int64 [B], 0 or more.
        patients : Tensor
            int64 [B], below 0 unknown.
        seed : int
            Seed of random mining; the global generators are neither read nor moved.

        Returns
        -------
        loss : Tensor
            float32 scalar, also under autocast; 0 and connected to `embeddings` where nothing was mined.
        stats : dict of str to Tensor
            See the module `stats`; float32 scalars without gradient, on the device.
        """
        assert len(embeddings) == len(labels) == len(patients), (
            f"{len(embeddings)} embeddings, {len(labels)} labels and {len(patients)} patients; they must be as many"
        )
        with torch.autocast(embeddings.device.type, enabled=False):
            vectors = embeddings.float()
            batch = References(vectors, labels, patients)
            remembering = self.training and self.memory.size > 0
            references = self.memory.beside(batch) if remembering else batch
            loss, stats = self._compare(vectors, references, seed)
            if remembering:
                self.memory.remember(batch)
        return loss, stats

    def _compare(self, vectors: Tensor, references: References, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        pairs = allowed(len(vectors), references)
        distances = distances_of(self.distance, vectors, references.embeddings)
        if self.mining is not None and self.mining in KINDS:
            loss, stats = triplet_margin(self.mining, distances, pairs, self.margin)
        else:
            loss, stats = self._listed(vectors, references, distances.detach(), pairs, seed)
        with torch.no_grad():
            stats["spread"] = measured.spread(vectors)
        return loss, stats

    def _listed(
        self, vectors: Tensor, references: References, distances: Tensor, pairs: Pairs, seed: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss over triplets or pairs that are listed one by one."""
        if self.mining is not None:
            triplets = mine(self.mining, distances, pairs, vectors.shape[1], seed)
            chosen: tuple[Tensor, ...] = triplets
            stats = measured.of_triplets(distances, triplets, self.margin)
        else:
            chosen = (*torch.where(pairs.positive), *torch.where(pairs.negative))
            stats = measured.of_pairs(distances, pairs)
        if any(len(part) == 0 for part in chosen):
            return vectors.sum() * 0.0, stats
        loss: Tensor = self.loss(vectors, indices_tuple=chosen, ref_emb=references.embeddings)
        return loss, stats
