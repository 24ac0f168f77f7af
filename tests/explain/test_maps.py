"""The last map of a network, of every family, against what its own layers hold."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionTransformer

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.explain.maps import look
from contrastive_cxr.models.backbones import catalogue
from tests.explain.tiny import Pooled, Tiny, drawn, image


def transformer(**settings: object) -> nn.Module:
    settings = {"img_size": 32, "patch_size": 8, "in_chans": 1, "embed_dim": 12, "depth": 2, "num_heads": 2} | settings
    return drawn(timm.models.vision_transformer.VisionTransformer(num_classes=0, **settings))


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [
        ("resnet18", 64, 2),
        ("densenet121", 64, 2),  # its last map is made by a bare function, in place
        ("mobilenet_v2", 64, 2),
        ("timm/test_resnet", 64, 2),
        ("timm/test_efficientnet", 64, 2),
    ],
)
def test_the_map_of_a_pooled_network_has_the_features_as_its_mean(name: str, size: int, side: int) -> None:
    torch.manual_seed(0)
    network = Tiny(catalogue.create(name))
    found = look(image(size), lambda x: network.features(x).square().sum())
    assert found.place.layout == "channels-first"
    assert found.place.side == side
    with torch.no_grad():
        expected = network.features(image(size))[0]
    torch.testing.assert_close(found.values.mean(dim=(1, 2)), expected, atol=1e-5, rtol=1e-4)
    # the gradient of a sum of squares of means: 2 f / places, the same everywhere
    torch.testing.assert_close(
        found.gradient, (2 * expected / side**2)[:, None, None].expand_as(found.gradient), atol=1e-5, rtol=1e-3
    )
    assert found.answer == pytest.approx(float(expected.square().sum()), rel=1e-4)


def test_a_network_with_fully_connected_layers_has_the_map_before_them() -> None:
    body = catalogue.create("cnn3", image_size=32)
    kept: list[Tensor] = []
    body.get_submodule("conv3").register_forward_hook(lambda module, inputs, output: kept.append(output[0]))
    network = Tiny(body)
    found = look(image(32), lambda x: network.features(x).sum())
    assert found.place.side == 4
    assert torch.equal(found.values, kept[0].detach())


def test_channels_last_and_windows() -> None:
    body = drawn(
        timm.models.swin_transformer.SwinTransformer(
            img_size=32, patch_size=4, in_chans=1, num_classes=0, embed_dim=12, depths=(1, 1), num_heads=(2, 2),
            window_size=4,
        )
    )  # fmt: skip
    network = Tiny(body)
    found = look(image(32), lambda x: network.features(x).sum())
    assert found.place.side == 4
    assert found.values.shape == (24, 4, 4)
    torch.testing.assert_close(found.values.mean(dim=(1, 2)), network.features(image(32))[0].detach())


def test_a_class_token_is_explained_by_the_patches_that_the_last_attention_reads() -> None:
    body = transformer()
    kept: list[Tensor] = []
    body.blocks[-1].norm1.register_forward_hook(lambda module, inputs, output: kept.append(output[0]))
    network = Tiny(body)
    found = look(image(32), lambda x: network.features(x)[0, 0])
    assert (found.place.layout, found.place.side, found.place.prefix) == ("tokens", 4, 1)
    expected = kept[0][1:].reshape(4, 4, 12).permute(2, 0, 1)
    assert torch.equal(found.values, expected)
    assert found.gradient.any()


def test_averaged_patches_are_explained_behind_the_last_norm() -> None:
    network = Tiny(transformer(class_token=False, global_pool="avg", fc_norm=False))
    found = look(image(32), lambda x: network.features(x)[0, 0])
    assert found.place.prefix == 0
    torch.testing.assert_close(found.values.mean(dim=(1, 2)), network.features(image(32))[0].detach())


@pytest.mark.parametrize("fused", [True, False])
def test_attention_by_hand_is_no_map(fused: bool) -> None:
    body = transformer()
    for block in body.blocks:
        block.attn.fused_attn = fused
    network = Tiny(body)
    assert look(image(32), lambda x: network.features(x)[0, 0]).values.shape == (12, 4, 4)


def test_torchvisions_transformer() -> None:
    body = drawn(TorchvisionTransformer(32, 8, 2, 2, 12, 24))
    body.conv_proj = nn.Conv2d(1, 12, 8, 8)
    body.heads = nn.Identity()
    kept: list[Tensor] = []
    body.encoder.layers[-1].ln_1.register_forward_hook(lambda module, inputs, output: kept.append(output[0]))
    network = Tiny(body)
    found = look(image(32), lambda x: network.features(x)[0, 0])
    assert torch.equal(found.values, kept[0][1:].reshape(4, 4, 12).permute(2, 0, 1))


def test_an_answer_that_hangs_on_nothing_has_the_last_map_and_no_gradient() -> None:
    network = Tiny(Pooled(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()))
    found = look(image(8), lambda x: 0 * network.features(x).sum())
    assert not found.gradient.any()
    assert found.place.side == 8


def test_a_network_without_a_map_is_told() -> None:
    with pytest.raises(CcxrError, match="no map of places"):
        look(torch.rand(1, 1, 1, 1), lambda x: 2 * x.sum())
