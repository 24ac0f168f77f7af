"""Likeness: the quartile worked out by a slow loop, an arrow drawn into a copy, two slices that share a chest wall."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from contrastive_cxr.audit import likeness
from contrastive_cxr.audit.candidates import every_symmetry

RNG = np.random.default_rng(0)


def texture(seed: int) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(64, 64)), 1.5)
    return 128 + 40 * noise / noise.std()


def judged(*pictures: np.ndarray) -> tuple[float, int]:
    """Correlation and number of confirmed pairs of two pictures."""
    both = np.clip(np.stack(pictures), 0, 255).astype(np.uint8)
    pairs = every_symmetry(np.array([0]), np.array([1]))
    return float(likeness.likeness(both, pairs)[0].max()), len(likeness.confirm(both, pairs)[0])


def test_a_letter_drawn_into_a_copy_does_not_hide_it() -> None:
    marked = texture(0).copy()
    marked[4:12, 40:50] = 255
    value, confirmed = judged(texture(0), marked)
    assert value > 0.97
    assert confirmed == 1


def test_a_shared_frame_is_not_enough() -> None:
    """Two slices: the same chest wall around other lungs."""
    one, other = texture(0), texture(0).copy()
    other[12:52, 12:52] = texture(1)[12:52, 12:52]
    value, confirmed = judged(one, other)
    assert value < 0.5
    assert confirmed == 0


def test_a_pair_is_confirmed_once_under_its_symmetry() -> None:
    both = np.stack([texture(0), texture(0)[::-1].T]).astype(np.uint8)
    pairs = every_symmetry(np.array([0]), np.array([1]))
    kept, correlation, _ = likeness.confirm(both, pairs)
    assert len(kept) == 1
    assert correlation[0] > 0.99
    assert pairs.symmetry[kept[0]] == 6, "flipped, then transposed"


def test_the_quartile_by_a_slow_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = texture(0).astype(np.float32), texture(0).astype(np.float32)
    for number, (row, column) in enumerate(((0, 0), (16, 16), (32, 48), (48, 0), (0, 32))):
        other[row : row + 16, column : column + 16] = texture(number + 2)[:16, :16]
    still = np.array([[1, 0, 1, 0]], np.float32)
    found = likeness._alike(one[None], other[None], still, likeness.DETAIL)[0]
    detail = [gaussian_filter(each, 0.7) - gaussian_filter(each, 2.5) for each in (one, other)]
    values = []
    for row in range(0, 64, 16):
        for column in range(0, 64, 16):
            left, right = (each[row : row + 16, column : column + 16].ravel() for each in detail)
            values.append(np.corrcoef(left, right)[0, 1])
    assert found == pytest.approx(sorted(values)[3], abs=1e-3)
