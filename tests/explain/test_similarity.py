"""The similarity map: it adds up to the cosine, place by place as the network itself would count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from contrastive_cxr.explain import similarity
from contrastive_cxr.explain.similarity import linear
from contrastive_cxr.models.backbones import catalogue
from tests.explain.tiny import Pooled, Tiny, drawn, image, seeded

SIDE = 6


def body() -> nn.Module:
    return Pooled(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU())


def other(size: int) -> Tensor:
    return functional.normalize(torch.randn(size, generator=seeded(3)), dim=0)


def cosine(network: Tiny, x: Tensor, vector: Tensor) -> float:
    return float((network.embed(x)[0] @ vector).detach())


def test_a_linear_projection_by_hand() -> None:
    network = drawn(Tiny(body(), nn.Sequential(nn.Linear(5, 4))), seed=1)
    x, vector = image(SIDE), other(4)
    found = similarity(network, x, vector)
    weight, bias = (p.detach().double().numpy() for p in network.projection.parameters())
    values = network.backbone.layers(x)[0].detach().double().numpy()
    z = weight @ values.mean(axis=(1, 2)) + bias
    n = vector.double().numpy()
    expected = np.zeros((SIDE, SIDE))
    for i in range(SIDE):
        for j in range(SIDE):
            expected[i, j] = (weight @ values[:, i, j] + bias) @ n / (SIDE**2 * np.linalg.norm(z))
    assert found.exact
    assert found.unplaced == 0
    np.testing.assert_allclose(found.values, expected, atol=1e-7)
    assert float(found.values.sum()) == pytest.approx(cosine(network, x, vector), abs=1e-5)
    assert found.cosine == pytest.approx(cosine(network, x, vector), abs=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "timm/test_efficientnet"])
def test_real_networks_without_a_projection_are_exact(name: str) -> None:
    torch.manual_seed(0)
    network = Tiny(catalogue.create(name))
    vector = network.embed(image(64, seed=5))[0].detach()
    found = similarity(network, image(64), vector)
    assert found.exact
    assert float(found.values.sum()) == pytest.approx(cosine(network, image(64), vector), abs=1e-4)


def test_the_sum_to_itself_is_one() -> None:
    network = drawn(Tiny(body(), nn.Linear(5, 4)), seed=1)
    found = similarity(network, image(SIDE), network.embed(image(SIDE))[0].detach())
    assert float(found.values.sum()) == pytest.approx(1, abs=1e-5)


def test_a_deep_projection_is_first_order_and_says_what_is_left() -> None:
    projection = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 4))
    network = drawn(Tiny(body(), projection), seed=1)
    x, vector = image(SIDE), other(4)
    found = similarity(network, x, vector)
    assert not found.exact
    assert float(found.values.sum()) + found.unplaced == pytest.approx(cosine(network, x, vector), abs=1e-5)
    assert abs(found.unplaced) > 1e-3
    values = network.backbone.layers(x)[0].detach().double()
    network.double()
    length = projection(values.mean(dim=(1, 2))).norm()
    for i, j in [(0, 0), (2, 3), (5, 1)]:  # what is lost where a place gets a little weaker
        weaker = values.clone()
        weaker[:, i, j] *= 1 - 1e-5
        change = projection(values.mean(dim=(1, 2))) - projection(weaker.mean(dim=(1, 2)))
        part = float((change @ vector.double() / length).detach()) / 1e-5
        assert found.values[i, j] == pytest.approx(part, abs=1e-5)


def test_a_map_that_is_not_averaged_is_not_exact() -> None:
    network = drawn(Tiny(nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * SIDE**2, 4))))
    found = similarity(network, image(SIDE), other(4))
    assert not found.exact
    assert found.values.shape == (SIDE, SIDE)
    assert float(found.values.sum()) + found.unplaced == pytest.approx(found.cosine, abs=1e-6)


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        (None, True),
        (nn.Linear(2, 2), True),
        (nn.Sequential(nn.Linear(2, 2)), True),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU()), False),
        (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), False),
        (nn.Sequential(nn.ReLU()), False),
    ],
)
def test_what_is_linear(projection: nn.Module | None, expected: bool) -> None:
    assert linear(projection) is expected
