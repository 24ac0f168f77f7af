"""Batch norm in convolutions: the outputs stay, the modules go, and what cannot be folded stays whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision import models

from contrastive_cxr.models import folded


def settled(network: nn.Module) -> nn.Module:
    """As after training: statistics and weights of batch norm are any."""
    torch.manual_seed(0)
    for each in network.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.running_mean, -0.5, 0.5)
            nn.init.uniform_(each.running_var, 0.5, 2)
            nn.init.uniform_(each.weight, 0.5, 1.5)
            nn.init.uniform_(each.bias, -0.5, 0.5)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(each, nn.BatchNorm2d) for each in network.modules())


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: timm.create_model("tf_efficientnet_lite0"), 0),  # whose batch norm activates too
        (lambda: models.resnet18(), 0),
        (lambda: models.densenet121(), 62),  # the first of a layer's two norms takes joined maps; 4 more between blocks
    ],
)
def test_outputs_stay(make: Callable[[], nn.Module], left: int) -> None:
    network, images = settled(make()), torch.rand(4, 3, 64, 64)
    before = norms(network)
    with torch.inference_mode():
        wanted = network(images)
        assert folded.fold(network, lambda: network(images[:2])) == before - left
        assert norms(network) == left
        torch.testing.assert_close(network(images), wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


class Twice(nn.Module):
    """A convolution that two things read."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.convolution(images)
        return maps + self.norm(maps)


class Again(nn.Module):
    """A convolution that is used two times."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.norm(self.convolution(self.convolution(images)))
        return maps


@pytest.mark.parametrize("kind", [Twice, Again])
def test_what_something_else_reads_is_put_back(kind: type[nn.Module]) -> None:
    network, images = settled(kind()), torch.rand(2, 3, 16, 16)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        wanted = network(images)
        assert folded.fold(network, lambda: network(images)) == 0
        assert torch.equal(network(images), wanted)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in network.modules())
