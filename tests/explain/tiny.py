"""Networks small enough to work out by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrastive_cxr.models import Network


class Tiny(Network):
    """A `Network` around any backbone: the same `features`, `embed` and `logits`, and no name to look up."""

    def __init__(
        self, backbone: nn.Module, projection: nn.Module | None = None, classifier: nn.Module | None = None
    ) -> None:
        nn.Module.__init__(self)
        self._paths: dict[str, list[str]] = {}
        self._held: frozenset[str] = frozenset()
        self._waiting: frozenset[str] = frozenset()
        self.backbone, self.projection, self.classifier = backbone, projection, classifier
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))
        self.eval()


class Pooled(nn.Module):
    """Layers, then the mean over places."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).mean(dim=(2, 3))  # type: ignore[no-any-return]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def image(size: int, seed: int = 0) -> Tensor:
    """float32 [1, 1, S, S] in 0..1."""
    return torch.rand(1, 1, size, size, generator=seeded(seed))


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with weights drawn anew: no layer is left at the zeros or ones that libraries begin with."""
    rng = seeded(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) / max(1, parameter[0].numel()) ** 0.5)
    return network.eval()
