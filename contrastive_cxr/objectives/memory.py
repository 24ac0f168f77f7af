"""Embeddings of past batches (cross-batch memory, Wang et al. 2020, arXiv 1912.06798)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrastive_cxr.objectives.pairs import References

EMPTY = -1


class Memory(nn.Module):
    """A ring of the last `size` embeddings with their labels and patients, saved by `state_dict`.

    Parameters
    ----------
    size : int
        Number of places; 0: nothing is remembered.
    width : int
        Width D of an embedding.
    """

    embeddings: Tensor
    labels: Tensor
    patients: Tensor
    pointer: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("embeddings", torch.zeros(size, width))
        self.register_buffer("labels", torch.full((size,), EMPTY, dtype=torch.int64))
        self.register_buffer("patients", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def beside(self, batch: References) -> References:
        """Return the batch followed by what is remembered; empty places carry a label below 0."""
        return References(
            embeddings=torch.cat([batch.embeddings, self.embeddings]),
            labels=torch.cat([batch.labels, self.labels]),
            patients=torch.cat([batch.patients, self.patients]),
        )

    @torch.no_grad()
    def remember(self, batch: References) -> None:
        """Put the batch (its last `size` rows) over the oldest places; no gradient is kept.

        The buffers are replaced, not written in place: the step's backward pass still reads the old ones.
        """
        count = min(len(batch.labels), self.size)
        if count == 0:
            return
        places = (self.pointer + torch.arange(count, device=self.pointer.device)) % self.size
        newest = slice(len(batch.labels) - count, None)
        self.embeddings = self.embeddings.index_copy(0, places, batch.embeddings[newest])
        self.labels = self.labels.index_copy(0, places, batch.labels[newest])
        self.patients = self.patients.index_copy(0, places, batch.patients[newest])
        self.pointer = (self.pointer + count) % self.size
