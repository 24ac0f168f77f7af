"""Pictures of maps: colour where the map is, grey where it is not."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from contrastive_cxr.explain import blend, grey, layer, overlay, standing_out


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


def test_a_layer_laid_over_the_image_is_the_overlay() -> None:
    rng = np.random.default_rng(1)
    image, values = rng.uniform(size=(16, 16)), rng.normal(size=(4, 4))
    over = pixels(layer(values, 16))
    share = over[..., 3:] / 255
    laid = (1 - share) * pixels(grey(image))[..., None] + share * over[..., :3]
    np.testing.assert_allclose(laid, blend(image, values), atol=1.6)


def test_a_map_that_speaks_for_everywhere_is_not_one_colour() -> None:
    values = np.full((7, 7), 5.0)
    values[2, 3], values[5, 5] = 9.0, -1.0
    over = standing_out(values)
    assert over is not None
    assert (over == 0).sum() == 47, "the places at the median have no colour"
    assert over[2, 3] == 4.0
    assert over[5, 5] == -1.0, "what speaks against it stays"
    against = standing_out(-values)
    assert against is not None
    np.testing.assert_array_equal(against, -over)


def test_an_even_map_has_no_signal() -> None:
    noise = np.random.default_rng(0).normal(scale=0.01, size=(7, 7))
    assert standing_out(1 + noise) is None
    assert standing_out(np.zeros((7, 7))) is None
    assert standing_out(noise) is not None, "around 0 there is no common value to compare with"
