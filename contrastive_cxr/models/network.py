"""The network: normalisation, backbone, projection to the embedding, classifier head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

import contrastive_cxr.models.backbones.catalogue as catalogue
from contrastive_cxr.errors import raise_faults
from contrastive_cxr.models.backbones.blocks import divide, loose
from contrastive_cxr.models.backbones.initial import initialise
from contrastive_cxr.models.faults import block_faults
from contrastive_cxr.models.spec import Spec
from contrastive_cxr.recipe import schema

LEAST_STD = 1 / 255
"""The smallest deviation that a network is given for its images: one grey level."""


class Network(nn.Module):
    """Maps grey images to features, to a unit-length embedding and to class logits.

    Images are float32 [B, 1, S, S] in 0..1 everywhere; they are normalised inside, by the stored `mean` and `std`.

    Parameters
    ----------
    spec : Spec
        The shape. Weights are drawn from torch's global generator; `build` seeds it.
    backbone : nn.Module, optional
        The backbone, where it is made already; otherwise a new one.

    Raises
    ------
    RequestError
        Where the backbone is not known or has no drop rate and one is asked for.

    Attributes
    ----------
    inference_dtype : torch.dtype
        float32, or bfloat16: in which the backbone computes in evaluation mode (`retrieval.inference_precision` sets
        it); projection and classifier compute in float32.
    """

    mean: Tensor
    std: Tensor
    inference_dtype: torch.dtype = torch.float32

    def __init__(self, spec: Spec, backbone: nn.Module | None = None) -> None:
        super().__init__()
        assert spec.std > 0, f"std={spec.std}; a deviation above 0 is needed"
        assert spec.classes != 1, "classes=1; a classifier needs at least two"
        self.spec = spec
        if backbone is None:
            backbone = catalogue.create(spec.backbone, spec.dropout, image_size=spec.image_size)
        self.backbone = backbone
        self.width = catalogue.width(spec.backbone)
        self.embedding_size = spec.projection[-1] if spec.projection else self.width
        self.projection = _perceptron(self.width, spec.projection) if spec.projection else None
        outputs = (*spec.hidden, spec.classes)
        self.classifier = _perceptron(self.embedding_size, outputs) if spec.classes else None
        self.register_buffer("mean", torch.tensor([spec.mean], dtype=torch.float32))
        self.register_buffer("std", torch.tensor([spec.std], dtype=torch.float32))
        self._paths = divide(self.backbone)
        self._held: frozenset[str] = frozenset()
        self._waiting: frozenset[str] = frozenset()

    def set_inputs(self, mean: float, std: float) -> None:
        """Give the network other input statistics, in 0..1; std above 0."""
        self.spec = replace(self.spec, mean=mean, std=std)
        self.mean.fill_(mean)
        self.std.fill_(std)

    def features(self, images: Tensor) -> Tensor:
        """Pooled features [B, C] of images float32 [B, 1, S, S] in 0..1."""
        normalised = (images - self.mean) / self.std
        if self.training or self.inference_dtype == torch.float32:
            features: Tensor = self.backbone(normalised)
            return features
        with torch.autocast(images.device.type, dtype=self.inference_dtype):
            return self.backbone(normalised).float()  # type: ignore[no-any-return]

    def embed(self, images: Tensor) -> Tensor:
        """Embedding float32 [B, D] of unit length; without a projection the features, scaled to unit length."""
        return self.project(self.features(images))

    def project(self, features: Tensor) -> Tensor:
        """Embedding float32 [B, D] of unit length, from features [B, C]."""
        projected = features if self.projection is None else self.projection(features)
        # in float32 whatever the precision: at bfloat16 a length is off by up to 0.4 %
        return functional.normalize(projected.float(), dim=1)

    def head(self, embedding: Tensor) -> Tensor:
        """Logits [B, classes] from the embedding, or from the features where there is no projection."""
        assert self.classifier is not None, "this network has no classifier; build it with classes > 1"
        logits: Tensor = self.classifier(embedding)
        return logits

    def logits(self, images: Tensor) -> Tensor:
        """Logits [B, classes] of images float32 [B, 1, S, S] in 0..1."""
        features = self.features(images)
        return self.head(features if self.projection is None else self.project(features))

    def forward(self, images: Tensor, both: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Logits where there is a classifier, else the embedding; with `both` (embedding, logits) of one pass."""
        if both:
            features = self.features(images)
            embedding = self.project(features)
            return embedding, self.head(features if self.projection is None else embedding)
        return self.embed(images) if self.classifier is None else self.logits(images)

    def blocks(self) -> dict[str, list[nn.Module]]:
        """The named blocks in forward order: the backbone's, `projection`, `classifier`."""
        blocks = {name: [self.backbone.get_submodule(path) for path in paths] for name, paths in self._paths.items()}
        for name, part in (("projection", self.projection), ("classifier", self.classifier)):
            if part is not None:
                blocks[name] = [part]
        return blocks

    def train_only(self, names: Sequence[str] | None) -> None:
        """Train the named blocks alone (None: all).

        The others get no gradient, and their batch-norm statistics and dropout are held, also after `.train()`.

        Raises
        ------
        RequestError
            Where a name is no block of this network.
        """
        known = self.blocks()
        chosen = list(known) if names is None else list(names)
        raise_faults(block_faults(chosen, self.spec.backbone, self.projection is not None, self.classifier is not None))
        for name in known:
            for parameter in self._parameters_of(name):
                parameter.requires_grad_(name in chosen)
        self._held = frozenset(known) - frozenset(chosen)
        self.train(self.training)

    def hold(self, names: Sequence[str]) -> None:
        """Hold batch norm and dropout of the named blocks also through `.train()`, besides those of frozen blocks.

        Their parameters keep their gradients. `()` holds none but the frozen ones.
        """
        self._waiting = frozenset(names)
        self.train(self.training)

    def train(self, mode: bool = True) -> Network:
        """Switch to training mode, the frozen and the held blocks excepted."""
        super().train(mode)
        blocks = self.blocks()
        for name in self._held | self._waiting:
            for module in blocks[name]:
                module.eval()
        return self

    def discard_projection(self) -> None:
        """Take the projection off: the embedding is then the features, scaled to unit length."""
        self.projection, self.embedding_size = None, self.width
        self.spec = replace(self.spec, projection=())
        self._held -= {"projection"}

    def trainable_counts(self) -> dict[str, tuple[int, int]]:
        """Block name: (trainable parameters, all parameters), in forward order."""
        counts = {}
        for name in self.blocks():
            parameters = list(self._parameters_of(name))
            counts[name] = (sum(p.numel() for p in parameters if p.requires_grad), sum(p.numel() for p in parameters))
        return counts

    def block_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Block name: its parameters, in forward order; each parameter in one block alone."""
        found: dict[str, list[nn.Parameter]] = {}
        seen: set[int] = set()
        for name in self.blocks():
            own = [parameter for parameter in self._parameters_of(name) if id(parameter) not in seen]
            seen |= {id(parameter) for parameter in own}
            found[name] = own
        return found

    def describe(self) -> list[tuple[str, int, int]]:
        """(block, trainable parameters, all parameters), in forward order."""
        return [(name, *counts) for name, counts in self.trainable_counts().items()]

    def _parameters_of(self, block: str) -> Iterator[nn.Parameter]:
        """The block's parameters; loose ones of the backbone (a transformer's tokens, positions) are of its first."""
        blocks = self.blocks()
        for module in blocks[block]:
            yield from module.parameters()
        if block == next(iter(blocks)):
            yield from loose(self.backbone)


def build(
    model: schema.Model,
    *,
    projection: Sequence[int] = (),
    classes: int = 0,
    hidden: Sequence[int] = (),
    mean: float,
    std: float,
    seed: int,
) -> Network:
    """Build a network with weights drawn from `seed`; the global generator is left as it was.

    Parameters
    ----------
    model : schema.Model
        Backbone, image size, drop rates, stem and initialisation; its `weights` are for `weights.start`.
    projection, classes, hidden
        See `Spec`.
    mean, std : float
        Input statistics, in 0..1; std above 0.
    seed : int
        In 0..2**63-1; the same seed gives the same weights.

    Raises
    ------
    RequestError
        Where the backbone is not known, has no drop rate and one is asked for, or does not take the image size.
    """
    raise_faults(catalogue.size_faults(model.backbone, model.image_size))
    size, rate = model.image_size, model.drop_rates or model.dropout
    spec = Spec(model.backbone, size, rate, tuple(projection), classes, tuple(hidden), mean, std)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = catalogue.create(model.backbone, rate, image_size=size, stem=model.stem, drop_path=model.drop_path)
        network = Network(spec, body)
        initialise(network, model.init)
        return network


def _perceptron(inputs: int, widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths, ReLU between."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers[:-1])
