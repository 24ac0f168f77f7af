"""Resolution, sharpness, gamma, noise and JPEG, by Pillow and NumPy."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from torch import Tensor

from contrastive_cxr import augment

Floats = NDArray[np.float32]
SIDE = 48


def chests(count: int = 3) -> Tensor:
    """Smooth shapes with edges and some grain, uint8 [count, 1, 48, 48]."""
    rng = np.random.default_rng(0)
    line = np.linspace(-1, 1, SIDE)
    found = []
    for _ in range(count):
        x, y, size = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0.3, 0.6)
        shape = ((line[:, None] - y) ** 2 + (line - x) ** 2 < size**2) * 90.0
        found.append(shape + 60 * (1 + line) + rng.normal(0, 6, (SIDE, SIDE)))
    return torch.from_numpy(np.clip(np.stack(found), 0, 255).astype(np.uint8))[:, None]


IMAGES = chests()


def still(**changes: list[float]) -> augment.Draw:
    """A draw of three images that changes nothing but `changes`, one value an image."""
    draw = augment.draw(augment.SETS["none"], 3, 0)
    return dataclasses.replace(draw, **{name: torch.tensor(values) for name, values in changes.items()})


def applied(draw: augment.Draw, images: Tensor = IMAGES) -> Floats:
    found: Floats = augment.apply(images, SIDE, draw)[:, 0].numpy()
    return found


def test_gamma_is_numpys_power() -> None:
    powers = [0.5, 1.0, 1.7]
    expected = [(image[0].numpy() / 255) ** power for image, power in zip(IMAGES, powers, strict=True)]
    np.testing.assert_allclose(applied(still(gamma=powers)), np.stack(expected), atol=1e-6)


def test_gamma_comes_after_brightness() -> None:
    found = applied(still(gamma=[2.0] * 3, brightness=[0.1] * 3))
    np.testing.assert_allclose(found, np.clip(IMAGES[:, 0].numpy() / 255 + 0.1, 0, 1) ** 2, atol=1e-6)


def test_a_lower_resolution_is_pillows() -> None:
    shares = [0.25, 0.6, 1.0]
    found = applied(still(resolution=shares))
    for image, share, got in zip(IMAGES, shares, found, strict=True):
        side = round(share * SIDE)
        grey = Image.fromarray(image[0].numpy().astype(np.float32) / 255, mode="F")
        there = grey.resize((side, side), Image.Resampling.BILINEAR)
        expected = np.asarray(there.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(got, expected, atol=2e-5)
    assert np.array_equal(found[2], applied(still())[2])


def test_sharpness_is_pillows() -> None:
    factors = [0.0, 1.6, 1.0]
    found = applied(still(sharpness=factors))
    for image, factor, got in zip(IMAGES, factors, found, strict=True):
        expected = np.asarray(ImageEnhance.Sharpness(Image.fromarray(image[0].numpy())).enhance(factor)) / 255
        np.testing.assert_allclose(got, expected, atol=1.6 / 255)  # Pillow rounds the smoothed picture to whole greys
    assert np.array_equal(found[2], applied(still())[2])


def test_noise_has_its_deviation_and_is_gaussian() -> None:
    grey = torch.full((3, 1, SIDE, SIDE), 128, dtype=torch.uint8)
    found = applied(still(noise=[0.02, 0.1, 0.0]), grey) - 128 / 255
    for deviation, values in zip((0.02, 0.1), found, strict=False):
        ordered = np.sort(values.ravel() / deviation)
        assert abs(ordered.mean()) < 4 / SIDE
        assert ordered.std() == pytest.approx(1, abs=4 / (SIDE * np.sqrt(2)))
        # The shares within one and two deviations of a Gaussian.
        assert (np.abs(ordered) < 1).mean() == pytest.approx(0.683, abs=0.04)
        assert (np.abs(ordered) < 2).mean() == pytest.approx(0.954, abs=0.02)
        assert abs(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1]) < 0.08
    assert abs(np.corrcoef(found[0].ravel(), found[1].ravel())[0, 1]) < 0.08, "each image has its own noise"
    assert (found[2] == 0).all()


def test_noise_is_of_the_image_and_its_draw_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    draw = still(noise=[0.05] * 3)
    together = applied(draw)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    for number in range(3):
        rows = slice(number, number + 1)
        assert np.array_equal(together[rows], applied(draw[rows], IMAGES[rows]))


@pytest.mark.parametrize("quality", [10, 40, 75, 95])
def test_jpeg_is_nearly_libjpegs(quality: int) -> None:
    found = applied(still(jpeg=[float(quality)] * 3))
    for image, got in zip(IMAGES, found, strict=True):
        grey, file = image[0].numpy(), io.BytesIO()
        Image.fromarray(grey).save(file, format="JPEG", quality=quality)
        expected = np.asarray(Image.open(file)).astype(float)
        lost = np.abs(expected - grey).mean()
        # What the two codecs differ by is small beside what either of them changes, or below one grey.
        assert np.abs(got * 255 - expected).mean() < max(0.4 * lost, 0.9)
        assert np.abs(got * 255 - grey).mean() == pytest.approx(lost, rel=0.25, abs=0.3)


def test_each_image_has_its_own_quality_or_no_file() -> None:
    found = applied(still(jpeg=[10.0, 0.0, 90.0]))
    plain = applied(still())
    lost = np.abs(found - plain).mean(axis=(1, 2))
    assert np.array_equal(found[1], plain[1])
    assert lost[0] > 2 * lost[2] > 0


def test_an_erased_box_stays_black_under_noise_and_jpeg() -> None:
    box = {"erase_left": [0.25] * 3, "erase_top": [0.25] * 3, "erase_width": [0.5] * 3, "erase_height": [0.5] * 3}
    found = applied(still(noise=[0.1] * 3, jpeg=[20.0] * 3, **box))
    assert found[:, 12:36, 12:36].max() == 0
