"""Grey stems of each family: folded, and drawn anew."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.backbones.grey import fold_grey, stems

# Name and side: every family of torchvision that is small enough for a test, and the kinds of stem that timm has.
FAMILIES = [
    ("alexnet", 64),
    ("convnext_tiny", 32),
    ("densenet121", 32),
    ("efficientnet_b0", 32),
    ("googlenet", 32),
    ("inception_v3", 75),
    ("mnasnet0_5", 32),
    ("mobilenet_v3_small", 32),
    ("regnet_y_400mf", 32),
    ("resnet50", 32),
    ("shufflenet_v2_x0_5", 32),
    ("squeezenet1_1", 32),
    ("swin_t", 32),
    ("timm/convnext_atto", 32),
    ("timm/repvgg_a0", 32),
    ("timm/resnetv2_50x1_bit", 32),
    ("timm/test_vit", 64),
    ("timm/vit_tiny_r_s16_p8_224", 64),
]


def grey_conv(body: nn.Module) -> nn.Conv2d:
    """The one convolution that sees the image."""
    (conv,) = (part for part in body.modules() if isinstance(part, nn.Conv2d) and part.in_channels == 1)
    return conv


@pytest.mark.parametrize(("name", "side"), FAMILIES)
def test_the_folded_family_equals_the_colour_net_on_replicated_grey(name: str, side: int) -> None:
    torch.manual_seed(0)
    colour = catalogue.colour(name, image_size=side).eval()
    with torch.no_grad():
        for path in stems(colour):  # three colours that differ, as learned ones do
            colour.get_submodule(path).weight *= torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1)
    folded = copy.deepcopy(colour)
    fold_grey(folded)
    images = torch.randn(2, 1, side, side)
    with torch.no_grad():
        expected = colour(images.expand(-1, 3, -1, -1))
        assert expected.std() > 0
        torch.testing.assert_close(folded(images), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert not stems(folded)


def fan_in_normal(conv: nn.Conv2d) -> float:
    return math.sqrt(2 / math.prod(conv.weight.shape[1:]))


def fan_out_normal(conv: nn.Conv2d) -> float:
    return math.sqrt(2 / (conv.weight.shape[0] * math.prod(conv.weight.shape[2:])))


def torchs_default(conv: nn.Conv2d) -> float:
    return 1 / math.sqrt(3 * math.prod(conv.weight.shape[1:]))  # uniform up to 1 / sqrt(fan-in)


# What each library's source says of its first convolution, for a kernel of one channel.
SPREADS = {
    "alexnet": torchs_default,
    "convnext_tiny": lambda conv: 0.02,
    "densenet121": fan_in_normal,
    "efficientnet_b0": fan_out_normal,
    "googlenet": lambda conv: 0.01,
    "mnasnet0_5": fan_out_normal,
    "mobilenet_v3_small": fan_out_normal,
    "regnet_y_400mf": fan_out_normal,
    "resnet18": fan_out_normal,
    "shufflenet_v2_x0_5": torchs_default,
    "squeezenet1_1": fan_in_normal,
    "swin_t": torchs_default,
    "vit_b_32": lambda conv: fan_in_normal(conv) / math.sqrt(2),
    "timm/resnet18": fan_out_normal,
    "timm/convnext_atto": lambda conv: 0.02,
}


@pytest.mark.parametrize("name", SPREADS)
def test_a_random_stem_is_drawn_as_the_library_draws_one_channel(name: str) -> None:
    torch.manual_seed(0)
    conv = grey_conv(catalogue.create(name, image_size=64 if catalogue.fixed_size(name) else None, stem="random"))
    weight = conv.weight.detach()
    count = weight.numel()
    assert weight.shape[1] == 1
    assert abs(weight.std().item() / SPREADS[name](conv) - 1) < 5 / math.sqrt(2 * count)
    if conv.bias is not None and conv.bias.any():
        bound = 1 / math.sqrt(math.prod(weight.shape[1:]))
        assert 0.7 * bound < conv.bias.abs().max() <= bound


def test_a_random_standardised_stem_is_a_plain_one_of_the_standardised_kernel() -> None:
    torch.manual_seed(0)
    body = catalogue.create("timm/resnetv2_50x1_bit", stem="random")
    conv = grey_conv(body)
    assert type(conv) is nn.Conv2d
    for kernel in conv.weight.detach():
        assert abs(kernel.mean().item()) < 1e-5
        assert kernel.std(correction=0).item() == pytest.approx(1, abs=1e-3)
    folded = catalogue.create("timm/resnetv2_50x1_bit")
    assert [(key, value.shape) for key, value in body.state_dict().items()] == [
        (key, value.shape) for key, value in folded.state_dict().items()
    ]


def test_our_own_nets_are_grey_by_nature() -> None:
    torch.manual_seed(0)
    folded = catalogue.create("cnn3", image_size=32)
    torch.manual_seed(0)
    fresh = catalogue.create("cnn3", image_size=32, stem="random")
    assert all(torch.equal(a, b) for a, b in zip(folded.parameters(), fresh.parameters(), strict=True))
