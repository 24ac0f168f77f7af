from __future__ import annotations

import pytest
import torch
from torch import nn

from contrastive_cxr.models import block_faults, growth_faults, norm_blocks
from contrastive_cxr.models.backbones import catalogue

VIT = ["stem", *(f"blocks.{number}" for number in range(12)), "norm"]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet152", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("alexnet", ["features.0", "features.3", "features.6", "features.8", "features.10", "neck"]),
        ("vit_b_16", ["stem", *(f"encoder_layer_{number}" for number in range(12)), "ln"]),
        ("timm/resnetv2_50x1_bit.goog_in21k", ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "norm"]),
        ("timm/vit_base_patch16_224.augreg_in21k", VIT),
        ("timm/vit_base_r50_s16_224.orig_in21k", ["stem", "stages.0", "stages.1", "stages.2", "proj", *VIT[1:]]),
        ("cnn4", ["conv1", "conv2", "conv3", "conv4", "fc1", "fc2"]),
    ],
)
def test_an_unknown_stage_is_told_with_the_stages_there_are(name: str, blocks: list[str]) -> None:
    assert catalogue.block_names(name) == blocks
    assert block_faults([*blocks, "classifier"], name, projection=False, classifier=True) == []
    (fault,) = block_faults(["stage9"], name, projection=False, classifier=True)
    assert fault.endswith(f"its blocks are {', '.join(blocks)}, classifier")


def test_batch_norm_is_found_in_the_trained_blocks_alone() -> None:
    assert norm_blocks("resnet18", None) == ["stem", "layer1", "layer2", "layer3", "layer4"]
    assert norm_blocks("resnet18", ["layer4", "classifier"]) == ["layer4"]
    assert norm_blocks("resnet18", ["classifier"]) == []
    assert norm_blocks("densenet121", ["norm5"]) == ["norm5"]
    for name in ("cnn3", "alexnet", "timm/resnetv2_50x1_bit", "timm/vit_base_r50_s16_224"):
        assert norm_blocks(name, None) == []


def test_what_torch_makes_of_one_image() -> None:
    """Why one image is refused: torch raises for one value a channel, and lets a larger map be normalised by itself."""
    norm = nn.BatchNorm2d(2)
    with pytest.raises(ValueError, match="more than 1 value"):
        norm(torch.rand(1, 2, 1, 1))
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm1d(2)(torch.rand(1, 2))
    image = torch.rand(1, 2, 8, 8)
    torch.testing.assert_close(norm(image).mean((0, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(norm(image * 7 + 3), norm(image), atol=1e-2, rtol=0)  # brightness and contrast are gone


def test_growing_is_for_networks_of_any_size() -> None:
    assert growth_faults([32, 48, 64], "resnet18") == []
    assert growth_faults([64, 64], "cnn3") == []
    (fault,) = growth_faults([32, 64], "cnn3")
    assert "'cnn3' is built for one input size; set initial_image_size=null" in fault
    (fault,) = growth_faults([32, 64, 224], "alexnet")
    assert "initial_image_size=32" in fault
    assert "does not go through 'alexnet'" in fault
