from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from contrastive_cxr import augment
from contrastive_cxr.recipe.augmentation import Augment

Floats = NDArray[np.float32]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def noise(count: int = 1, side: int = 16, seed: int = 0) -> Tensor:
    return torch.randint(
        0, 256, (count, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def still(count: int = 1, **changes: float) -> augment.Draw:
    """A draw that changes nothing but `changes`, the same for every image."""
    draw = augment.draw(augment.SETS["none"], count, 0)
    return dataclasses.replace(draw, **{name: torch.full((count,), float(value)) for name, value in changes.items()})


def test_the_draw_of_a_stretch_makes_a_disc_wider() -> None:
    line = np.arange(60) - 29.5
    disc = torch.from_numpy(((line[:, None] ** 2 + line**2 < 15**2) * 255).astype(np.uint8))[None, None]
    draw = augment.draw(augment.AugmentSet(aspect=0.5), 1, 3)
    stretched = applied(disc, draw)[0] > 0.5
    factor = float(draw.height / draw.width)
    across, down = stretched.any(axis=0).sum(), stretched.any(axis=1).sum()
    assert factor != pytest.approx(1, abs=0.1)
    assert across / down == pytest.approx(factor, abs=0.1)
    assert stretched.sum() == pytest.approx(np.pi * 15**2, rel=0.03)


def applied(images: Tensor, draw: augment.Draw, size: int | None = None) -> Floats:
    output: Floats = augment.apply(images, size or images.shape[-1], draw)[:, 0].numpy()
    return output


def unit(images: Tensor) -> Floats:
    grey: Floats = images[:, 0].numpy().astype(np.float32) / np.float32(255)
    return grey


@pytest.mark.parametrize("name", augment.AUGMENT_SETS)
@pytest.mark.parametrize(("side", "size"), [(48, 32), (64, 32), (32, 40)])
def test_shape_type_and_range(name: str, side: int, size: int) -> None:
    images = noise(6, side)
    output = augment.augment(images, size, name, seed=3)
    assert output.shape == (6, 1, size, size)
    assert output.dtype == torch.float32
    assert 0 <= output.min() < output.max() <= 1
    assert images.dtype == torch.uint8


EVERYTHING = Augment(
    set="strong",
    zoom=(0.8, 1.2),
    aspect=0.2,
    gamma=0.3,
    noise=0.05,
    jpeg=(20, 90),
    resolution=(0.5, 0.9),
    sharpness=0.5,
)


@pytest.mark.parametrize("choice", [*(name for name in augment.AUGMENT_SETS if name != "none"), EVERYTHING], ids=str)
def test_two_processes_make_what_one_makes(choice: augment.Choice) -> None:
    images = noise(9, 40)
    whole = augment.augment(images, 32, choice, seed=11)
    halves = [
        augment.augment(images[rows], 32, choice, seed=11, rows=rows, total=9) for rows in (slice(0, 4), slice(4, 9))
    ]
    torch.testing.assert_close(torch.cat(halves), whole, rtol=0, atol=1e-6)
    assert not torch.equal(whole, augment.augment(images, 32, choice, seed=12))


def test_an_image_is_augmented_alike_whatever_stands_beside_it() -> None:
    images = noise(3, 40)
    draw = dataclasses.replace(still(3), angle=torch.tensor([0.0, 12.0, 0.0]), sigma=torch.tensor([0.0, 0.0, 0.008]))
    together = augment.apply(images, 32, draw)
    for number in range(3):
        row = slice(number, number + 1)
        torch.testing.assert_close(together[row], augment.apply(images[row], 32, draw[row]), rtol=0, atol=1e-6)


def test_draws_of_another_batch_are_refused() -> None:
    with pytest.raises(AssertionError, match="2 draws for 3 images"):
        augment.apply(noise(3), 16, still(2))


@pytest.mark.parametrize(("side", "size"), [(32, 32), (64, 32), (20, 32)])
def test_nothing_drawn_is_plain(side: int, size: int) -> None:
    images = noise(4, side)
    assert torch.equal(augment.augment(images, size, "none", seed=1), augment.plain(images, size))


@pytest.mark.parametrize("side", [32, 24])
def test_a_warp_that_hardly_moves_is_nearly_plain_up_to_the_border(side: int) -> None:
    images = noise(1, side)
    np.testing.assert_allclose(applied(images, still(angle=1e-3), 32), augment.plain(images, 32)[:, 0], atol=2e-3)


def test_plain_keeps_values_and_antialiases() -> None:
    checkers = (torch.arange(32)[:, None] + torch.arange(32)[None, :]) % 2 * 255
    shrunk = augment.plain(checkers.to(torch.uint8)[None, None], 8)
    assert (shrunk - 0.5).abs().max() < 0.02
    np.testing.assert_array_equal(augment.plain(noise(2), 16)[:, 0], unit(noise(2)))


def test_a_warp_of_a_large_image_is_antialiased() -> None:
    checkers = ((torch.arange(128)[:, None] + torch.arange(128)[None, :]) % 2 * 255).to(torch.uint8)[None, None]
    inner = applied(checkers, still(angle=5, mirror_x=-1), 32)[0, 6:-6, 6:-6]
    assert np.abs(inner - 0.5).max() < 0.05


def test_mirrors_are_numpy_mirrors() -> None:
    images = noise(3)
    np.testing.assert_allclose(applied(images, still(3, mirror_x=-1)), unit(images)[:, :, ::-1], atol=1e-5)
    np.testing.assert_allclose(applied(images, still(3, mirror_y=-1)), unit(images)[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_numpy_turns(turns: int) -> None:
    images = noise(2, 15)
    expected = np.rot90(unit(images), turns, axes=(1, 2))
    np.testing.assert_allclose(applied(images, still(2, angle=90 * turns)), expected, atol=1e-5)


def test_a_shift_moves_the_content_and_brings_black_in() -> None:
    images = noise(1)
    moved = applied(images, still(x=2 * 3 / 16, y=-2 * 2 / 16))[0]
    expected = np.zeros((16, 16), np.float32)
    expected[2:, :13] = unit(images)[0, :14, 3:]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_a_window_is_the_crop_of_it() -> None:
    images = noise(1)
    upper_right = still(width=0.75, height=0.75, x=0.25, y=-0.25)
    np.testing.assert_allclose(applied(images, upper_right, 12)[0], unit(images)[0, :12, 4:], atol=1e-5)


def test_a_half_plane_turned_by_30_degrees_is_where_a_slow_loop_says() -> None:
    image = torch.zeros(1, 1, 17, 17, dtype=torch.uint8)
    image[..., :8] = 255
    turned = applied(image, still(angle=30))[0]
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    for line in range(17):
        for column in range(17):
            u, v = column - 8, line - 8
            x, y = cos * u - sin * v, sin * u + cos * v
            if abs(abs(x) - 8.5) < 0.1 or abs(abs(y) - 8.5) < 0.1:
                continue
            inside = abs(x) < 8.5 and abs(y) < 8.5
            # Bilinear between column 7 (x = -1), the last bright one, and column 8 (x = 0), the first dark one.
            expected = float(np.clip(-x, 0, 1)) if inside else 0.0
            assert turned[line, column] == pytest.approx(expected, abs=1e-4), (line, column)


def test_an_oblong_image_is_turned_without_shear() -> None:
    image = torch.zeros(1, 1, 12, 24, dtype=torch.uint8)
    image[..., 4:8, :] = 255
    # The bar across becomes an upright one 4 of the 24 columns wide, which reaches as far as the 12 lines did.
    turned = applied(image, still(angle=90), 24)[0]
    assert turned[:, 11:13].min() > 0.9
    assert turned[:, :9].max() == turned[:, 15:].max() == 0


def test_brightness_and_contrast_by_hand() -> None:
    image = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8)[None, None]
    np.testing.assert_allclose(applied(image, still(brightness=0.1))[0], [[0.1, 0.3], [0.5, 1.0]], atol=1e-6)
    # Mean 0.4; 0.4 + 1.5 (v - 0.4), cut to 0..1.
    np.testing.assert_allclose(applied(image, still(contrast=1.5))[0], [[0.0, 0.1], [0.4, 1.0]], atol=1e-6)
    both = applied(image, still(contrast=0.5, brightness=-0.25))[0]
    np.testing.assert_allclose(both, [[0.0, 0.05], [0.15, 0.45]], atol=1e-6)


def test_equalising_is_the_slow_loop_and_nearly_pillows() -> None:
    rng = np.random.default_rng(0)
    grey = (rng.beta(2, 6, (2, 40, 40)) * 200 + 20).astype(np.uint8)
    found = augment.equalise(torch.from_numpy(grey)[:, None])[:, 0].numpy()
    for image, got in zip(grey, found, strict=True):
        darkest, pixels = image.min(), image.size
        first = (image == darkest).sum()
        for value in np.unique(image):
            expected = round(((image <= value).sum() - first) * 255 / (pixels - first))
            assert set(got[image == value]) == {expected}
        assert (got.min(), got.max()) == (0, 255)
        pillow = np.asarray(ImageOps.equalize(Image.fromarray(image))).astype(int)
        assert np.abs(pillow - got).mean() < 4


def test_equalising_leaves_an_even_image_and_a_black_border() -> None:
    even = torch.full((1, 1, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(augment.equalise(even), even)
    inner = noise(1, 16)
    bordered = torch.zeros(1, 1, 24, 24, dtype=torch.uint8)
    bordered[..., 4:20, 4:20] = inner.clamp(min=1)
    border = augment.equalise(bordered)
    assert border[..., :4, :].max() == 0
    assert border[..., 4:20, 4:20].float().mean() == pytest.approx(128, abs=4)


def test_only_the_drawn_images_are_equalised() -> None:
    images = noise(3, 16) // 2
    found = augment.apply(images, 16, dataclasses.replace(still(3), equalise=torch.tensor([0.0, 1.0, 0.0])))
    expected = images.clone()
    expected[1] = augment.equalise(images[1:2])[0]
    torch.testing.assert_close(found, augment.plain(expected, 16))


def test_blur_is_the_gaussian_of_a_point() -> None:
    image = torch.zeros(1, 1, 101, 101, dtype=torch.uint8)
    image[..., 50, 50] = 255
    blurred = applied(image, still(sigma=0.01))[0]
    kernel = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.01**2))
    kernel /= kernel.sum()
    np.testing.assert_allclose(blurred[46:55, 46:55], np.outer(kernel, kernel), atol=1e-5)
    assert blurred.sum() == pytest.approx(1, abs=1e-4)


def test_erasing_blackens_the_box_and_nothing_else() -> None:
    images = torch.full((1, 1, 20, 20), 200, dtype=torch.uint8)
    erased = applied(images, still(erase_left=0.25, erase_top=0.5, erase_width=0.3, erase_height=0.2))[0]
    expected = np.full((20, 20), 200 / 255, np.float32)
    expected[10:14, 5:11] = 0
    np.testing.assert_allclose(erased, expected)


def test_erased_areas_are_in_range() -> None:
    only = augment.AugmentSet(erase=1.0, erase_area=(0.05, 0.2))
    black = augment.augment(torch.full((64, 1, 64, 64), 255, dtype=torch.uint8), 64, only, seed=0) == 0
    shares = black.float().mean(dim=(1, 2, 3))
    # A border of half a pixel on each side is rounding: at most 2 * (0.63 + 0.32) / 64 of the picture.
    assert 0.05 - 0.03 < shares.min() < shares.max() < 0.2 + 0.03


def test_the_xray_set_keeps_85_percent_of_the_picture_at_the_end_of_every_range() -> None:
    ranges = augment.SETS["xray"]
    white = torch.full((1, 1, 64, 64), 255, dtype=torch.uint8)
    for zoom in ranges.zoom:
        for sign in (-1, 1):
            side = 1 / zoom
            # What the output shows of the image: its bright pixels, each side^2 of the image's area.
            draw = still(
                width=side, height=side, x=2 * ranges.shift, y=2 * ranges.shift * sign, angle=ranges.rotate * sign
            )
            assert applied(white, draw).mean() * side**2 > 0.85


def test_autocast_leaves_float32() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = augment.augment(noise(4, 40), 32, "strong", seed=2)
    assert output.dtype == torch.float32
    assert torch.equal(output, augment.augment(noise(4, 40), 32, "strong", seed=2))


def test_bands_along_the_sides_are_black() -> None:
    images = torch.full((2, 1, 20, 20), 200, dtype=torch.uint8)
    bands = {"frame_left": [0.1, 0.0], "frame_right": [0.0, 0.25], "frame_top": [0.2, 0.0], "frame_bottom": [0.0, 0.05]}
    draw = dataclasses.replace(still(2), **{name: torch.tensor(each) for name, each in bands.items()})
    found = augment.apply(images, 20, draw)[:, 0].numpy()
    expected = np.full((2, 20, 20), 200 / 255, dtype=np.float32)
    expected[0, :, :2], expected[0, :4] = 0, 0
    expected[1, :, 15:], expected[1, 19:] = 0, 0
    np.testing.assert_allclose(found, expected, atol=1e-6)
