"""Pictures of maps: colour where the map is, grey where it is not."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from contrastive_cxr.explain import grey, overlay


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)), dtype=int)


def test_grey_is_the_image() -> None:
    image = np.random.default_rng(0).uniform(size=(8, 8))
    np.testing.assert_array_equal(pixels(grey(image)), np.round(image * 255))


def test_orange_for_blue_against_and_nothing_at_zero() -> None:
    image, values = np.full((9, 9), 0.5), np.zeros((9, 9))
    values[1, 2], values[6, 7] = 3.0, -1.5
    shown = pixels(overlay(image, values))
    assert shown.shape == (9, 9, 3)
    warm, cold = shown[1, 2] - 128, shown[6, 7] - 128
    assert warm[0] > 0 > warm[2]
    assert cold[2] > 0 > cold[0]
    assert np.abs(warm).sum() > np.abs(cold).sum()
    np.testing.assert_array_equal(shown[4, 4], [128, 128, 128])


def test_a_coarse_map_is_drawn_out_over_the_image() -> None:
    values = np.array([[1.0, 0.0], [0.0, 0.0]])
    shown = pixels(overlay(np.zeros((16, 16)), values)).sum(axis=2)
    assert shown[2, 2] > shown[7, 7] > shown[13, 13] == 0


def test_an_empty_map_leaves_the_image() -> None:
    image = np.random.default_rng(0).uniform(size=(4, 4))
    shown = pixels(overlay(image, np.zeros((2, 2))))
    np.testing.assert_array_equal(shown, pixels(grey(image))[..., None].repeat(3, axis=2))
