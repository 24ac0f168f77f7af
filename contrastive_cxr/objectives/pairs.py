"""The masks of positive and negative pairs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class References(NamedTuple):
    """What anchors are compared with: the batch itself, then past embeddings.

    Parameters
    ----------
    embeddings : Tensor
        float32 [M, D]; the first B rows are the anchors themselves.
    labels : Tensor
        int64 [M]; below 0: an empty place, compared with nothing.
    patients : Tensor
        int64 [M]; below 0: unknown.
    """

    embeddings: Tensor
    labels: Tensor
    patients: Tensor


class Pairs(NamedTuple):
    """Allowed pairs of B anchors and M references.

    Parameters
    ----------
    positive, negative : Tensor
        bool [B, M]; never both.
    """

    positive: Tensor
    negative: Tensor


def allowed(anchors: int, references: References) -> Pairs:
    """Say which references may be positives and which negatives of the first `anchors` references.

    A positive has the anchor's label and is not the anchor itself. A negative has another label and is not known to be
    of the anchor's patient: two slices of one patient are not pushed apart, whatever their labels say.
    """
    labels, patients = references.labels, references.patients
    same_label = labels[:anchors, None] == labels[None, :]
    same_patient = (patients[:anchors, None] == patients[None, :]) & (patients[None, :] >= 0)
    present = (labels >= 0)[None, :]
    itself = torch.eye(anchors, len(labels), dtype=torch.bool, device=labels.device)
    return Pairs(positive=same_label & present & ~itself, negative=~same_label & present & ~same_patient)
