"""Mixup and cutmix by a slow loop, and what is drawn for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from contrastive_cxr.augment import MixDraw, draw_mix, mix

SIZE = 12


def draws(mixup: float, cutmix: float, probability: float = 1.0, count: int = 400) -> list[MixDraw | None]:
    return [draw_mix(mixup, cutmix, probability, 6, SIZE, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0)])
def test_pixels_and_share_are_the_slow_loops(mixup: float, cutmix: float) -> None:
    pictures = torch.rand(6, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    for seed in range(8):
        drawn = draw_mix(mixup, cutmix, 1.0, 6, SIZE, np.random.default_rng(seed))
        assert drawn is not None
        found = mix(pictures, pictures[torch.from_numpy(drawn.partner)], drawn)
        for place, partner in enumerate(drawn.partner):
            own = 0
            for line in range(SIZE):
                for column in range(SIZE):
                    first, second = float(pictures[place, 0, line, column]), float(pictures[partner, 0, line, column])
                    if drawn.box is None:
                        expected = drawn.share * first + (1 - drawn.share) * second
                    else:
                        top, bottom, left, right = drawn.box
                        inside = top <= line < bottom and left <= column < right
                        own += not inside
                        expected = second if inside else first
                    assert float(found[place, 0, line, column]) == pytest.approx(expected, abs=1e-6)
            if drawn.box is not None:
                assert drawn.share == pytest.approx(own / SIZE**2)


def test_shares_are_of_the_beta_distribution() -> None:
    shares = [drawn.share for drawn in draws(0.5, 0.0) if drawn is not None]
    assert len(shares) == 400
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * 0.5 + 1)), abs=0.02)  # of Beta(a, a)


def test_a_box_has_the_drawn_area_but_for_the_border() -> None:
    """Wholly inside a large picture the cut share is within a pixel's breadth of the drawn one."""
    for seed in range(200):
        drawn = draw_mix(0.0, 1.0, 1.0, 2, 1000, np.random.default_rng(seed))
        assert drawn is not None
        assert drawn.box is not None
        top, bottom, left, right = drawn.box
        rng = np.random.default_rng(seed)
        rng.random(4), rng.permutation(2)
        share = rng.beta(1.0, 1.0)
        if top > 0 and left > 0 and bottom < 1000 and right < 1000:
            assert drawn.share == pytest.approx(share, abs=5e-3)
        assert drawn.share >= share - 1e-9


def test_with_both_each_batch_has_one_and_the_probability_leaves_batches_alone() -> None:
    found = draws(0.2, 1.0, probability=0.5)
    mixed = [drawn for drawn in found if drawn is not None]
    assert len(mixed) / len(found) == pytest.approx(0.5, abs=0.08)
    assert sum(drawn.box is not None for drawn in mixed) / len(mixed) == pytest.approx(0.5, abs=0.1)
    assert all(drawn is None for drawn in draws(0.0, 0.0, count=5))


def test_partners_are_a_permutation_and_the_draw_is_its_keys() -> None:
    first, again = draws(0.2, 1.0, count=20), draws(0.2, 1.0, count=20)
    for one, other in zip(first, again, strict=True):
        assert one is not None
        assert other is not None
        assert sorted(one.partner) == list(range(6))
        assert (one.partner == other.partner).all()
        assert (one.share, one.box) == (other.share, other.box)
