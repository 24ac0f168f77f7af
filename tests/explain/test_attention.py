"""Attention rollout against slow loops, and attention recorded against the same worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer as TorchvisionTransformer

from contrastive_cxr.explain import attention_map, rollout
from contrastive_cxr.explain.attention import record
from contrastive_cxr.models.backbones import catalogue
from tests.explain.tiny import Tiny, drawn, image

Floats = NDArray[np.floating]


def hand_made(layers: int, heads: int, tokens: int) -> list[Floats]:
    given = np.random.default_rng(0).uniform(size=(layers, heads, tokens, tokens)) ** 3
    return list(given / given.sum(axis=-1, keepdims=True))


def by_paths(layers: list[Floats]) -> Floats:
    """Sum over every path of tokens through the layers of the product of its steps."""
    tokens = layers[0].shape[-1]
    result = np.zeros((tokens, tokens))
    for path in itertools.product(range(tokens), repeat=len(layers) + 1):
        share = 1.0
        for depth, layer in enumerate(layers):
            source, goal = path[depth], path[depth + 1]
            mean = sum(head[goal, source] for head in layer) / len(layer)
            share *= 0.5 * mean + (0.5 if source == goal else 0.0)
        result[path[-1], path[0]] += share
    return result


def test_rollout_is_the_sum_over_all_paths() -> None:
    layers = hand_made(3, 2, 4)
    found = rollout(layers)
    np.testing.assert_allclose(found, by_paths(layers), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_the_order_of_the_layers_counts() -> None:
    layers = hand_made(2, 1, 3)
    assert not np.allclose(rollout(layers), rollout(layers[::-1]))


def transformer(**settings: object) -> nn.Module:
    settings = {"img_size": 32, "patch_size": 8, "in_chans": 1, "embed_dim": 12, "depth": 3, "num_heads": 2} | settings
    return drawn(timm.models.vision_transformer.VisionTransformer(num_classes=0, **settings))


def seen_by_hand(body: nn.Module, x: Tensor) -> list[Floats]:
    """Weights of timm's own unfused attention, as they pass its dropout."""
    kept: list[Floats] = []
    hooks = []
    for block in body.blocks:
        block.attn.fused_attn = False
        hooks.append(
            block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: kept.append(output[0].numpy()))
        )
    with torch.no_grad():
        body(x)
    for block, hook in zip(body.blocks, hooks, strict=True):
        block.attn.fused_attn = True
        hook.remove()
    return kept


@pytest.mark.parametrize("settings", [{}, {"reg_tokens": 2}, {"qk_norm": True}])
def test_timms_attention_is_recorded_as_it_is(settings: dict[str, object]) -> None:
    body = transformer(**settings)
    expected = seen_by_hand(body, image(32))
    found = record(Tiny(body), image(32))
    assert len(found) == 3
    for layer, own in zip(found, expected, strict=True):
        np.testing.assert_allclose(layer.numpy(), own, atol=1e-6)


def test_masks_are_part_of_the_weights() -> None:
    """A mask of shares and one of words, on a layer that is called with it."""
    layer = timm.layers.Attention(4, num_heads=1).eval()
    allowed = torch.tensor([[True, False, True], [True, True, True], [False, False, True]])
    shift = torch.tensor([[0.0, 2.0, -1.0], [0.5, 0.0, 0.0], [1.0, 1.0, 0.0]])
    x = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    query, key, _ = layer.qkv(x)[0].detach().numpy().reshape(3, 3, 4).transpose(1, 0, 2)
    for mask in (allowed, shift):

        class Masked(nn.Module):
            def forward(self, images: Tensor, mask: Tensor = mask) -> Tensor:
                return layer(x, attn_mask=mask)[:, 0]

        scores = query @ key.T / 2 + (np.where(allowed, 0, -np.inf) if mask.dtype == torch.bool else shift.numpy())
        expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(record(Tiny(Masked()), image(8))[0][0].numpy(), expected, atol=1e-6)


def test_the_map_is_the_class_tokens_row() -> None:
    body = transformer()
    expected = by_paths_of(body)[0, 1:].reshape(4, 4)
    found = attention_map(Tiny(body), image(32))
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert 0 < found.sum() < 1


def test_averaged_patches_have_the_mean_of_their_rows() -> None:
    body = transformer(class_token=False, global_pool="avg")
    found = attention_map(Tiny(body), image(32))
    assert found is not None
    np.testing.assert_allclose(found, by_paths_of(body).mean(axis=0).reshape(4, 4), atol=1e-6)
    assert found.sum() == pytest.approx(1, abs=1e-5)


def by_paths_of(body: nn.Module) -> Floats:
    """Rollout of timm's own weights: matrix after matrix."""
    flow: Floats | None = None
    for layer in seen_by_hand(body, image(32)):
        step = (layer.mean(axis=0) + np.eye(layer.shape[-1])) / 2
        flow = step if flow is None else step @ flow
    assert flow is not None
    return flow


def torchvision_transformer() -> nn.Module:
    body = TorchvisionTransformer(32, 8, 2, 2, 12, 24)
    body.conv_proj = nn.Conv2d(1, 12, 8, 8)
    body.heads = nn.Identity()
    return drawn(body)


def test_torchvisions_attention_by_hand() -> None:
    body = torchvision_transformer()
    entered: list[Tensor] = []
    layer = body.encoder.layers[0]
    hook = layer.ln_1.register_forward_hook(lambda module, inputs, output: entered.append(output))
    network = Tiny(body)
    plain = network.features(image(32)).detach()
    hook.remove()
    x, own = entered[0][0].detach().numpy(), layer.self_attention
    query, key, _ = np.split(x @ own.in_proj_weight.detach().numpy().T + own.in_proj_bias.detach().numpy(), 3, axis=1)
    found = record(network, image(32))
    assert [layer.shape for layer in found] == [(2, 17, 17)] * 2
    for head in range(2):
        part = slice(6 * head, 6 * head + 6)
        scores = np.exp(query[:, part] @ key[:, part].T / np.sqrt(6))
        np.testing.assert_allclose(found[0][head].numpy(), scores / scores.sum(axis=1, keepdims=True), atol=1e-5)
    assert attention_map(network, image(32)) is not None
    torch.testing.assert_close(network.features(image(32)), plain)


def test_nothing_is_left_behind() -> None:
    for body in (transformer(), torchvision_transformer()):
        attention_map(Tiny(body), image(32))
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in body.modules())
    body = transformer()
    body.blocks[0].attn.fused_attn = False
    assert attention_map(Tiny(body), image(32)) is not None
    assert [block.attn.fused_attn for block in body.blocks] == [False, True, True]


def test_other_networks_have_no_rollout() -> None:
    assert attention_map(Tiny(catalogue.create("resnet18").eval()), image(32)) is None
    windows = timm.models.swin_transformer.SwinTransformer(
        img_size=32, patch_size=4, in_chans=1, num_classes=0, embed_dim=12, depths=(1, 1), num_heads=(2, 2),
        window_size=4,
    )  # fmt: skip
    assert attention_map(Tiny(windows.eval()), image(32)) is None
    assert attention_map(Tiny(transformer(global_pool="map")), image(32)) is None
