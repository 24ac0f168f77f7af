from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from contrastive_cxr import models
from contrastive_cxr.models.backbones.initial import initialise
from contrastive_cxr.recipe import schema


def network(word: str, seed: int = 0) -> models.Network:
    model = schema.Model(backbone="resnet18", image_size=32, init=word)  # type: ignore[arg-type]
    return models.build(model, projection=(256, 128), classes=40, mean=0.5, std=0.5, seed=seed)


def layers(net: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


def expected(word: str, weight: torch.Tensor) -> float:
    """The deviation, from the fans counted by hand."""
    field = math.prod(weight.shape[2:])
    fan_in, fan_out = weight.shape[1] * field, weight.shape[0] * field
    return {"normal": 0.01, "he": math.sqrt(2 / fan_in), "xavier": math.sqrt(2 / (fan_in + fan_out))}[word]


@pytest.mark.parametrize("word", ["normal", "he", "xavier"])
def test_every_layer_has_the_spread_of_its_word(word: str) -> None:
    for layer in layers(network(word)):
        weight = layer.weight.detach()
        spread, count = expected(word, weight), weight.numel()
        # five standard errors of a mean, and of a deviation of a normal
        assert abs(weight.mean().item()) < 5 * spread / math.sqrt(count)
        assert abs(weight.std().item() / spread - 1) < 5 / math.sqrt(2 * count)
        assert weight.abs().max() > 2.5 * spread  # no uniform: that ends at 1.73
        assert layer.bias is None or not layer.bias.any()


def test_zero_is_zero_and_norms_stay() -> None:
    net = network("zero")
    assert not any(layer.weight.any() for layer in layers(net))
    assert not any(layer.bias.any() for layer in layers(net) if layer.bias is not None)
    assert all((part.weight == 1).all() for part in net.modules() if isinstance(part, nn.BatchNorm2d))


def test_default_is_the_librarys() -> None:
    untouched = network("default").state_dict()
    again = models.build(
        schema.Model(backbone="resnet18", image_size=32), projection=(256, 128), classes=40, mean=0.5, std=0.5, seed=0
    ).state_dict()
    assert all(torch.equal(untouched[key], again[key]) for key in untouched)


def test_weights_are_drawn_from_the_seed() -> None:
    before = torch.get_rng_state()
    first, same, other = (network("he", seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])


def test_the_three_layers_inside_attention_are_each_one() -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(64, 4)
    initialise(attention, "xavier")
    for part in attention.in_proj_weight.detach().chunk(3):
        assert abs(part.std().item() / math.sqrt(2 / 128) - 1) < 5 / math.sqrt(2 * 64 * 64)
    assert not attention.in_proj_bias.any()
    initialise(attention, "zero")
    assert not attention.in_proj_weight.any()
    assert not attention.out_proj.weight.any()
