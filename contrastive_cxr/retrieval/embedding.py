"""The embedding model for users of the package: images in, vectors of unit length out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from contrastive_cxr import augment, terminal
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import Network, links, weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval.image_inputs import Inputs, ahead, items, squares

Vectors = npt.NDArray[np.float32]


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
        float32 [B, D], unit length, computed in float32 whatever the surrounding precision.
    """
    return _run(network, _plain(network, images), network.embed)


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
    found = _run(network, [plain], all_parts)
    if network.classifier is None:
        return Answer(found)
    embedding, hidden, probabilities = torch.split(found, list(widths(network)), dim=1)
    if not others:
        return Answer(embedding, hidden, probabilities)
    rest = _run(network, others, lambda inputs: links.probabilities(network.logits(inputs), link))
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


class EmbeddingModel:
    """A trained network that embeds pictures of any kind as in training.

    The same images in batches of the same size give the same bits; in batches of another size the last bits may differ,
    as the kernels do.

    Parameters
    ----------
    network : Network
        The network; put into evaluation mode and moved to `device`.
    card : dict
        Its record, as `models.weights.load` gives it.
    device : str
        Torch's name of the device.

    Attributes
    ----------
    squeezed : {address: grey levels}
        Files read so far that keep fewer than 64 grey levels as this model reads them, and tell more apart.

    Examples
    --------
    >>> model = EmbeddingModel.load("runs/xray")  # doctest: +SKIP
    >>> model.embed(["one.png", "two.png"]).shape  # doctest: +SKIP
    (2, 512)
    """

    def __init__(self, network: Network, card: dict[str, Any], device: str = "cpu") -> None:
        self.network = network.eval().to(device)
        self.card = card
        self.device = torch.device(device)
        self.settings = decode_settings(card)
        self.squeezed: dict[str, int] = {}

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> EmbeddingModel:
        """Read a run (its embed phase, else finetune, else pretrain) or a phase folder; no pickle is opened.

        Raises
        ------
        RequestError
            Where the folder holds no finished model, or a broken one.
        """
        found = weights.find(folder, ("embed", "finetune", "pretrain"))
        network, card = weights.load(found)
        try:
            return cls(network, card, device)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RequestError(f"{found / 'model.json'} does not say how to decode: {where}: {first['msg']}") from error

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities; empty where there is no head."""
        return tuple(self.card["classes"])

    @property
    def size(self) -> int:
        """Dimensions of the embedding."""
        return self.network.embedding_size

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: the model's identity in a gallery."""
        return str(self.card["sha256"])

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How it reads an image: decode settings, input size, mean and deviation; as plain as JSON."""
        return {**self.card["decode"], **{name: self.card[name] for name in ("image_size", "mean", "std")}}

    def embed(self, inputs: Inputs, batch_size: int = 64) -> Vectors:
        """Embed pictures.

        Parameters
        ----------
        inputs : path, PIL image, array, tensor, or a sequence of these
            Arrays and tensors: grey [H, W], [N, H, W] or [N, 1, H, W], uint8, uint16, or floats in 0..1.
        batch_size : int
            Pictures a step.

        Returns
        -------
        float32 [N, D]
            Unit length.

        Raises
        ------
        RequestError
            Where a picture cannot be read (each of the batch is named) or an array is not one of images.
        """
        return self._batches(inputs, batch_size, self.size, self.network.embed)

    def features(self, inputs: Inputs, batch_size: int = 64) -> Vectors:
        """The backbone's features float32 [N, C], before the projection; inputs and errors as in `embed`."""
        return self._batches(inputs, batch_size, self.network.width, self.network.features)

    def predict(self, inputs: Inputs, batch_size: int = 64, tta: str = "none") -> Vectors:
        """Class probabilities float32 [N, classes]; inputs and errors as in `embed`, and a head is needed.

        Logits become probabilities as the loss of the training says (`card["link"]`, `models.links`); with a set of
        test-time augmentation (`augment.TTA_SETS`; the run's own is `card["tta"]`) they are the mean over its views.
        """
        if not self.classes:
            raise RequestError("this model has no classifier; load a finetune or pretrain folder to predict")
        link = self.card.get("link", "softmax")
        return self._batches(
            inputs, batch_size, len(self.classes), lambda x: links.probabilities(self.network.logits(x), link), tta
        )

    def _batches(
        self, inputs: Inputs, batch_size: int, width: int, function: Callable[[Tensor], Tensor], tta: str = "none"
    ) -> Vectors:
        """Run batch by batch, the next ones decoded meanwhile; memory does not grow with the number of pictures."""
        if batch_size < 1:
            raise RequestError(f"batch_size={batch_size}; give at least 1")
        found = items(inputs)
        result = np.empty((len(found), width), np.float32)

        def read(first: int, end: int) -> Tensor:
            return squares(found[first:end], self.settings, first, self.squeezed)

        for first, images in ahead(read, 0, len(found), batch_size, os.cpu_count() or 1):
            views = augment.views(images.to(self.device), self.network.spec.image_size, tta)
            result[first : first + batch_size] = _run(self.network, views, function).cpu().numpy()
            terminal.share(first + batch_size, len(found))
        return result


def _plain(network: Network, images: Tensor) -> list[Tensor]:
    return augment.views(images, network.spec.image_size, "none")


@torch.no_grad()
def _run(network: Network, views: Sequence[Tensor], function: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean of `function` over the views, in float32 whatever the surrounding precision."""
    assert not network.training, "the network is in training mode; call .eval() before encoding"
    with torch.autocast(views[0].device.type, enabled=False):
        return torch.stack([function(view).float() for view in views]).mean(dim=0)
