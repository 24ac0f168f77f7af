"""Which region of an image makes it close to another one, in the embedding.

The cosine is z . n / |z|, with z the image's vector before it is brought to unit length and n the other's unit vector.
With |z| held as it is that is linear in z. So where the features are the mean of a map over its places, and z is linear
in them (no projection, or one linear layer), each place adds a part of its own and the parts add up to the cosine:
exact, a bias being shared out evenly. Anywhere else a place's part is its map times the gradient there: the first order
of it, and what the places do not account for is told as `unplaced`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr.explain.maps import look
from contrastive_cxr.models import Network

Floats = NDArray[np.float32]
_SAME = 1e-4  # of the largest feature: means of float32 in two orders


@dataclass(frozen=True)
class Similarity:
    """The cosine, place by place.

    Attributes
    ----------
    values : float32 [h, h]
        Each place's part; positive draws the image to the other, negative away from it.
    cosine : float
        Of the two embeddings.
    exact : bool
        Whether the parts add up to the cosine by the network's own arithmetic.
    unplaced : float
        Cosine less the sum of the parts; 0 where exact.
    """

    values: Floats
    cosine: float
    exact: bool
    unplaced: float


def similarity(network: Network, images: Tensor, other: Tensor) -> Similarity:
    """Divide the cosine of an image and another's embedding over the places of the image.

    Parameters
    ----------
    network : Network
        In evaluation mode.
    images : Tensor
        float32 [1, 1, S, S] in 0..1, on the network's device.
    other : Tensor
        float32 [D], unit length, on the network's device.

    Raises
    ------
    CcxrError
        The network makes no map.
    """

    def cosine(x: Tensor) -> Tensor:
        features = network.features(x)
        vector = features[0] if network.projection is None else network.projection(features)[0]
        similar: Tensor = vector @ other / vector.detach().norm().clamp_min(1e-12)
        return similar

    found = look(images, cosine)
    parts = (found.values * found.gradient).sum(dim=0).double()
    rest = found.answer - float(parts.sum())
    exact = linear(network.projection) and pooled(network, images, found.values)
    if exact:
        parts, rest = parts + rest / parts.numel(), 0.0
    return Similarity(parts.cpu().numpy().astype(np.float32), found.answer, exact, rest)


def linear(projection: nn.Module | None) -> bool:
    """Whether the vector is linear (with a bias) in the features: no projection, or a single linear layer."""
    layers = [] if projection is None else [part for part in projection.modules() if not list(part.children())]
    return len(layers) <= 1 and all(isinstance(layer, nn.Linear) for layer in layers)


def pooled(network: Network, images: Tensor, values: Tensor) -> bool:
    """Whether the features are the mean of the map [C, h, h] over its places: tried on the image itself."""
    with torch.no_grad():
        features = network.features(images)[0].float()
    means = values.float().mean(dim=(1, 2))
    if means.shape != features.shape:
        return False
    return bool((means - features).abs().max() <= _SAME * features.abs().max().clamp_min(1e-6))
