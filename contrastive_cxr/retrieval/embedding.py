"""The outputs of a network for decoded images, as float32: vectors of unit length, probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from contrastive_cxr import augment
from contrastive_cxr.models import Network, links
from contrastive_cxr.recipe import schema


def decode_settings(card: dict[str, Any]) -> schema.Data:
    """How a model wants files decoded, from its record; one of before there was `decoding` as it did then.

    Raises
    ------
    ValidationError
        The record has settings that are none.
    """
    return schema.Data.model_validate({"decoding": 1, **card["decode"]})


def embed_cached(network: Network, images: Tensor) -> Tensor:
    """Embed decoded images; `EmbeddingModel` and `ccxr encode` both come through here.

    Parameters
    ----------
    network : Network
        In evaluation mode.
    images : Tensor
        uint8 [B, 1, S, S], square as in the cache, on the network's device.

    Returns
    -------
    Tensor
        float32 [B, D], unit length, computed in `network.inference_dtype` whatever the surrounding precision.
    """
    return run_views(network, _plain(network, images), network.embed)


def probabilities_cached(network: Network, images: Tensor, link: str = "softmax", tta: str = "none") -> Tensor:
    """Class probabilities of decoded images, as `EmbeddingModel.predict` gives them.

    Parameters
    ----------
    network, images : as for `embed_cached`
        The network has a classifier.
    link, tta : as for `forward_all`

    Returns
    -------
    Tensor
        float32 [B, classes]; with a set of test-time augmentation the mean over its views.
    """
    views = augment.views(images, network.spec.image_size, tta)
    return run_views(network, views, lambda inputs: links.probabilities(network.logits(inputs), link))


@dataclass(frozen=True)
class Answer:
    """The outputs of a network for B images, float32.

    Attributes
    ----------
    embedding : [B, D], unit length
    hidden : [B, H] or None
        What the classifier's last layer is given; None without a classifier.
    probabilities : [B, classes] or None
        Of the plain image.
    averaged : [B, classes] or None
        The mean over the views of a test-time augmentation set; None without one.
    """

    embedding: Tensor
    hidden: Tensor | None = None
    probabilities: Tensor | None = None
    averaged: Tensor | None = None


def forward_all(network: Network, images: Tensor, link: str = "softmax", tta: str = "none") -> Answer:
    """All outputs of a network for decoded images; the plain images pass through it once.

    Parameters
    ----------
    network : Network
        In evaluation mode.
    images : Tensor
        uint8 [B, 1, S, S], as for `embed_cached`.
    link : str
        How its logits become probabilities, a word of `models.links`.
    tta : str
        Test-time augmentation set, a word of `augment.TTA_SETS`; each further view is another pass.
    """

    def all_parts(inputs: Tensor) -> Tensor:
        features = network.features(inputs)
        embedding = network.project(features)
        if network.classifier is None:
            return embedding
        hidden = network.classifier[:-1](features if network.projection is None else embedding)
        logits = network.classifier[-1](hidden)
        return torch.cat([embedding, hidden, links.probabilities(logits, link)], dim=1)

    plain, *others = augment.views(images, network.spec.image_size, tta)
    found = run_views(network, [plain], all_parts)
    if network.classifier is None:
        return Answer(found)
    embedding, hidden, probabilities = torch.split(found, list(widths(network)), dim=1)
    if not others:
        return Answer(embedding, hidden, probabilities)
    rest = run_views(network, others, lambda inputs: links.probabilities(network.logits(inputs), link))
    return Answer(embedding, hidden, probabilities, (probabilities + len(others) * rest) / (1 + len(others)))


def forward_packed(network: Network, images: Tensor, link: str, tta: str = "none") -> Tensor:
    """The parts of an `forward_all` that there are, side by side: float32 [B, sum of `widths`]."""
    found = forward_all(network, images, link, tta)
    parts = (found.embedding, found.hidden, found.probabilities, found.averaged)
    return torch.cat([part for part in parts if part is not None], dim=1)


def widths(network: Network, tta: str = "none") -> tuple[int, ...]:
    """Columns of each part of `forward_packed`: the embedding alone, or with the others three, or four with a set."""
    if network.classifier is None:
        return (network.embedding_size,)
    last, classes = network.classifier[-1], network.spec.classes
    assert isinstance(last, nn.Linear), "a classifier ends in a linear layer"
    return (network.embedding_size, last.in_features, classes, *([] if tta == "none" else [classes]))


def _plain(network: Network, images: Tensor) -> list[Tensor]:
    return augment.views(images, network.spec.image_size, "none")


@torch.no_grad()
def run_views(network: Network, views: Sequence[Tensor], function: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean of `function` over views float32 [B, 1, S, S], as float32.

    The network's `inference_dtype` holds, whatever the surrounding precision.
    """
    assert not network.training, "the network is in training mode; call .eval() before encoding"
    with torch.autocast(views[0].device.type, enabled=False):
        return torch.stack([function(view).float() for view in views]).mean(dim=0)
