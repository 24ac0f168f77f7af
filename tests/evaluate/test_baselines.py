"""The thumbnail forest: area averages by hand, and a forest that finds a bright corner."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.evaluate import baselines


def test_thumbnails_are_area_averages() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 96, 96), dtype=np.uint8)
    expected = images.reshape(2, 32, 3, 32, 3).mean(axis=(2, 4)).reshape(2, -1)
    assert baselines.thumbnails(images) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("size", [20, 45, 100])
def test_thumbnails_of_any_size_keep_the_mean(size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, size, size), dtype=np.uint8)
    small = baselines.thumbnails(images)
    assert small.shape == (2, 1024)
    assert small.mean(1) == pytest.approx(images.mean(axis=(1, 2, 3)), abs=1e-2)


def test_forest_finds_a_bright_corner_and_repeats_itself() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (60, 1, 40, 40), dtype=np.uint8)
    labels = rng.integers(0, 2, 60) * 2  # class 1 has no training rows
    images[labels == 2, :, :10, :10] += 100
    found = baselines.thumbnail_forest(images[:40], labels[:40], images[40:], 3, seed=2**40 + 1)
    assert found.shape == (20, 3)
    assert (found[:, 1] == 0).all()
    assert (found.argmax(1) == labels[40:]).mean() > 0.9
    again = baselines.thumbnail_forest(images[:40], labels[:40], images[40:], 3, seed=2**40 + 1)
    assert (found == again).all()
