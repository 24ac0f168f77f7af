"""Grad-CAM against the same worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate
from torch import Tensor, nn

from contrastive_cxr.explain import class_map, grad_cam
from tests.explain.tiny import Pooled, Tiny, drawn, image

cv2 = pytest.importorskip("cv2")
pytest.importorskip("pytorch_grad_cam")

SIDE = 6


def scaled(map_: NDArray[np.floating], size: int = SIDE) -> NDArray[np.floating]:
    """Negative places cut off, stretched to 0..1, drawn out to the image, stretched again."""
    kept = np.maximum(map_, 0).astype(np.float32)
    kept = (kept - kept.min()) / max(kept.max() - kept.min(), 1e-12)
    kept = cv2.resize(kept, (size, size))
    return (kept - kept.min()) / max(kept.max() - kept.min(), 1e-12)


def by_hand(values: NDArray[np.floating], gradient: NDArray[np.floating]) -> NDArray[np.floating]:
    """Channel weights are the mean gradients; the map is the weighted sum of the channels. values [C, h, h]."""
    channels, height, width = values.shape
    map_ = np.zeros((height, width))
    for channel in range(channels):
        weight = sum(gradient[channel, i, j] for i in range(height) for j in range(width)) / (height * width)
        map_ += weight * values[channel]
    return map_


@pytest.mark.parametrize("target", [0, 1, 2])
def test_a_pooled_network_by_hand(target: int) -> None:
    network = drawn(Tiny(Pooled(nn.Conv2d(1, 4, 1), nn.ReLU()), None, nn.Linear(4, 3)), seed=2)
    x = image(SIDE)
    kernel, bias = (p.detach().numpy().astype(float) for p in network.backbone.parameters())
    values = np.maximum(kernel.reshape(4, 1, 1) * x[0].numpy() + bias[:, None, None], 0)
    weights = network.classifier.weight.detach().numpy()[target]
    gradient = np.broadcast_to(weights[:, None, None] / SIDE**2, values.shape)
    np.testing.assert_allclose(grad_cam(network, x, target), scaled(by_hand(values, gradient)), atol=1e-4)
    without = class_map(network, x, target)
    np.testing.assert_allclose(without, np.maximum(by_hand(values, gradient), 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("target", [0, 1])
def test_a_network_with_a_fully_connected_layer_by_hand(target: int) -> None:
    """Here the gradient differs from place to place, and its mean is what counts."""
    body = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten())
    network = drawn(Tiny(body, None, nn.Linear(3 * SIDE**2, 2)), seed=1)
    x = image(SIDE)
    kernel, bias = (p.detach().numpy().astype(float) for p in body.parameters())
    values = np.stack([correlate(x[0, 0].numpy(), kernel[c, 0], mode="constant") + bias[c] for c in range(3)])
    gradient = network.classifier.weight.detach().numpy()[target].reshape(3, SIDE, SIDE)
    np.testing.assert_allclose(
        grad_cam(network, x, target), scaled(by_hand(np.maximum(values, 0), gradient)), atol=1e-4
    )


def test_a_transformer_by_its_patches() -> None:
    body = drawn(
        timm.models.vision_transformer.VisionTransformer(
            img_size=32, patch_size=8, in_chans=1, num_classes=0, embed_dim=12, depth=2, num_heads=2
        )
    )
    network = drawn(Tiny(body, None, nn.Linear(12, 2)), seed=3)
    kept: list[Tensor] = []
    hook = body.blocks[-1].norm1.register_forward_hook(lambda module, inputs, output: kept.append(output))
    x = image(32)
    gradient = torch.autograd.grad(network.logits(x)[0, 1], kept[0])[0][0, 1:].reshape(4, 4, 12).permute(2, 0, 1)
    hook.remove()
    values = kept[0][0, 1:].reshape(4, 4, 12).permute(2, 0, 1)
    expected = scaled(by_hand(values.detach().numpy(), gradient.numpy()), 32)
    np.testing.assert_allclose(grad_cam(network, x, 1), expected, atol=1e-4)


def test_nothing_is_left_behind() -> None:
    network = drawn(Tiny(Pooled(nn.Conv2d(1, 4, 1), nn.ReLU()), nn.Linear(4, 3), nn.Linear(3, 2)))
    before = network.logits(image(SIDE))
    heat = grad_cam(network, image(SIDE), 0)
    assert heat.dtype == np.float32
    assert heat.shape == (SIDE, SIDE)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(network.logits(image(SIDE)), before)
    assert not any(module._forward_hooks for module in network.modules())


def test_where_nothing_speaks_for_the_class_the_map_is_empty() -> None:
    network = Tiny(Pooled(nn.Conv2d(1, 1, 1), nn.ReLU()), None, nn.Linear(1, 2))
    with torch.no_grad():
        network.backbone.layers[0].weight.fill_(1.0)
        network.classifier.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    assert not grad_cam(network, image(SIDE), 0).any()
    assert grad_cam(network, image(SIDE), 1).max() == pytest.approx(1, abs=1e-4)
