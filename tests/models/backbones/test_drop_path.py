"""Stochastic depth: which backbones have it, what it does, and that it is no weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.recipe import schema
from contrastive_cxr.run import seeds

HAVE = ["timm/tf_efficientnet_lite0", "timm/resnet18", "timm/test_vit", "efficientnet_b0", "convnext_tiny", "swin_t",
        "maxvit_t"]  # fmt: skip
LACK = ["densenet169", "resnet18", "cnn3", "timm/densenet121", "timm/vgg11", "vit_b_16"]


def rates(name: str, rate: float | None) -> list[float]:
    """What each branch is left out with, in forward order; built without weights."""
    with torch.device("meta"):
        body = catalogue.create(name, drop_path=rate)
    words = {"DropPath": "drop_prob", "StochasticDepth": "p"}
    return [getattr(part, words[type(part).__name__]) for part in body.modules() if type(part).__name__ in words]


@pytest.mark.parametrize("name", HAVE)
def test_rates_rise_from_the_first_branch_to_the_last(name: str) -> None:
    found = rates(name, 0.4)
    assert found == sorted(found)
    assert found[0] < 0.1
    assert 0.35 <= found[-1] <= 0.4 + 1e-6
    assert rates(name, 0.2) == pytest.approx([each / 2 for each in found]), "all of them follow the last"
    assert not any(rates(name, 0.0))


@pytest.mark.parametrize("name", LACK)
def test_a_backbone_without_it_is_refused_and_0_is_not(name: str) -> None:
    with pytest.raises(RequestError, match=r"model\.drop_path=0\.1: '.*' has no stochastic depth"):
        rates(name, 0.1)
    assert rates(name, 0.0) == rates(name, None) == []


def test_unset_it_is_the_librarys_own() -> None:
    assert rates("efficientnet_b0", None)[-1] == pytest.approx(0.2 * 15 / 16)
    assert rates("swin_t", None)[-1] == 0.2
    assert rates("timm/tf_efficientnet_lite0", None) == []
    assert max(rates("timm/swin_tiny_patch4_window7_224", None)) == pytest.approx(0.1)
    assert not any(rates("timm/swin_tiny_patch4_window7_224", 0.0)), "0 turns it off here as well"


def test_branches_are_left_out_in_training_by_the_keyed_generator_alone(tmp_path: Path) -> None:
    shape = schema.Model(backbone="timm/test_vit", image_size=64, drop_path=0.5)
    plain = models.build(shape.model_copy(update={"drop_path": None}), classes=2, mean=0.5, std=0.25, seed=0)
    network = models.build(shape, classes=2, mean=0.5, std=0.25, seed=0)
    assert network.state_dict().keys() == plain.state_dict().keys()
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in network.state_dict().items())
    images = torch.rand(4, 1, 64, 64)

    def said(step: int) -> torch.Tensor:
        with seeds.globals_from(0, "pretrain", step):
            return network.train()(images)

    assert torch.equal(said(1), said(1))
    assert not torch.equal(said(1), said(2))
    assert torch.equal(network.eval()(images), plain.eval()(images))

    card = {"phase": "pretrain", "task": "two", "classes": ["a", "b"], "decode": {}, "channels_last": False}
    weights.save(network, tmp_path, card)
    loaded, told = weights.load(tmp_path)
    assert "drop_path" not in told
    assert torch.equal(loaded(images), network(images))
