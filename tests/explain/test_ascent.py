"""Activation maximisation against the same climb worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from contrastive_cxr.explain import Ascent, maximise
from tests.explain.tiny import Pooled, Tiny, seeded

PLAIN = Ascent(steps=12, rate=0.03, jitter=0, blur=0.0, pull=0.05, seed=4)


def linear(size: int) -> Tensor:
    return torch.randn(1, 1, size, size, generator=seeded(7))


def test_a_linear_network_by_hand() -> None:
    weights = linear(5)
    risen = maximise(lambda x: (weights * x).sum() + 1, 5, PLAIN)
    w = weights[0, 0].numpy().astype(float)
    step = 0.03 * w / np.sqrt((w**2).sum() / w.size)
    x = risen.start.astype(float)
    for _ in range(12):
        x = np.clip(x + step - 0.05 * (x - 0.5), 0, 1)
    np.testing.assert_allclose(risen.image, x, atol=1e-5)
    assert risen.before == pytest.approx(float((w * risen.start).sum()) + 1, abs=1e-4)
    assert risen.after == pytest.approx(float((w * x).sum()) + 1, abs=1e-4)
    assert risen.after > risen.before


def test_it_begins_near_mid_grey_and_stays_in_range() -> None:
    risen = maximise(lambda x: (linear(32) * x).sum(), 32, Ascent(steps=80, pull=0.0))
    assert abs(float(risen.start.mean()) - 0.5) < 0.01
    assert 0.05 < float(risen.start.std()) < 0.15
    assert risen.image.dtype == np.float32
    assert float(risen.image.min()) >= 0
    assert float(risen.image.max()) <= 1


@pytest.mark.parametrize("seed", [0, 2])
def test_the_logit_of_a_network_rises(seed: int) -> None:
    torch.manual_seed(seed)
    body = Pooled(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.Conv2d(6, 8, 5, stride=2), nn.Tanh())
    network = Tiny(body, None, nn.Linear(8, 3))
    for target in range(3):
        answer = lambda x, target=target: network.logits(x)[0, target]  # noqa: E731
        risen = maximise(answer, 24, Ascent(steps=30, pull=0.0))
        assert risen.after > risen.before
        with torch.no_grad():
            assert risen.after == pytest.approx(float(answer(torch.from_numpy(risen.image)[None, None])), abs=1e-6)


def test_jitter_moves_the_image_and_moves_the_gradient_back() -> None:
    """An answer that is the same for a shifted image gives the same climb with and without jitter."""
    entered: list[Tensor] = []

    def answer(x: Tensor) -> Tensor:
        entered.append(x.detach())
        return (x - 0.2).square().sum()

    still = maximise(answer, 9, Ascent(steps=5, jitter=0, blur=0.0))
    entered.clear()
    moved = maximise(answer, 9, Ascent(steps=5, jitter=3, blur=0.0))
    np.testing.assert_allclose(moved.image, still.image, atol=1e-6)
    start = torch.from_numpy(moved.start)[None, None]
    shifts = [(i, j) for i in range(-3, 4) for j in range(-3, 4) if torch.equal(start.roll((i, j), (2, 3)), entered[0])]
    assert len(shifts) == 1
    assert not all(torch.equal(x, still_x) for x, still_x in zip(entered[1:5], entered[:4], strict=True))


def test_blur_takes_fine_detail_away() -> None:
    def roughness(blur: float) -> float:
        picture = maximise(lambda x: (linear(16) * x).sum(), 16, Ascent(steps=11, blur=blur, blur_every=5)).image
        return float(np.abs(np.diff(picture)).mean())

    assert roughness(1.5) < 0.7 * roughness(0.0)


def test_the_seed_decides() -> None:
    def climb(seed: int) -> np.ndarray:
        return maximise(lambda x: (linear(8) * x).sum().tanh(), 8, Ascent(steps=3, seed=seed)).image

    assert np.array_equal(climb(0), climb(0))
    assert not np.array_equal(climb(0), climb(1))


def test_no_step_and_no_gradient_leave_the_start() -> None:
    risen = maximise(lambda x: (linear(8) * x).sum(), 8, Ascent(steps=0))
    assert np.array_equal(risen.image, risen.start)
    assert risen.before == risen.after
    flat = maximise(lambda x: 0 * x.sum(), 8, Ascent(steps=3, pull=0.0, blur=0.0))
    assert np.array_equal(flat.image, flat.start)
