"""Batch norm over several processes: what the conversion keeps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from contrastive_cxr import models
from contrastive_cxr.recipe.schema import Model


@pytest.mark.parametrize("backbone", ["resnet18", "timm/efficientnet_b0"])
def test_the_converted_network_computes_the_same_and_keeps_its_names(backbone: str) -> None:
    """efficientnet's norms are fused with their activation, which torch's own conversion loses."""
    network = models.build(Model(backbone=backbone, image_size=32), classes=3, mean=0.5, std=0.2, seed=0)
    network.train_only([*list(network.blocks())[1:]])
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    before, names = network.eval()(images), list(network.state_dict())
    first = next(iter(network.blocks()))
    made = models.synchronised(network)
    assert made is network
    assert list(made.state_dict()) == names
    assert torch.equal(made.eval()(images), before)
    norms = [module for module in made.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(module, nn.SyncBatchNorm) for module in norms)
    made.train()
    held = [module.training for part in made.blocks()[first] for module in part.modules()]
    assert not any(held), "frozen blocks stay held"
