from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from contrastive_cxr import augment

EVERYTHING = augment.AugmentSet(
    crop=(0.4, 0.9), zoom=(0.9, 1.1), shift=0.1, rotate=30, flip_horizontal=0.5, flip_vertical=0.5, brightness=0.2,
    contrast=0.3, blur=0.5, erase=0.5, equalise=0.5, aspect=0.3, gamma=0.4, noise=0.1, jpeg=(20.0, 90.0),
    resolution=(0.3, 0.8), sharpness=0.6, frame=0.1,
)  # fmt: skip


def columns(draw: augment.Draw) -> dict[str, torch.Tensor]:
    return {field.name: getattr(draw, field.name) for field in dataclasses.fields(draw)}


def test_a_seed_repeats_and_another_differs_in_every_parameter() -> None:
    first, again, other = (columns(augment.draw(EVERYTHING, 20, seed)) for seed in (7, 7, 8))
    for name, values in first.items():
        assert torch.equal(values, again[name]), name
        assert not torch.equal(values, other[name]), name


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = augment.draw(EVERYTHING, 5, 3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first.angle, augment.draw(EVERYTHING, 5, 3).angle)


def test_a_range_does_not_move_the_other_draws() -> None:
    wider = dataclasses.replace(EVERYTHING, rotate=60, erase=0.9)
    first, second = augment.draw(EVERYTHING, 9, 1), augment.draw(wider, 9, 1)
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.sigma, second.sigma)
    torch.testing.assert_close(2 * first.angle, second.angle)


def test_parameters_stay_in_their_ranges_and_fill_them() -> None:
    draw = augment.draw(dataclasses.replace(EVERYTHING, zoom=(1.0, 1.0), aspect=0.0), 4000, 0)
    area = draw.width * draw.height
    for values, low, high in (
        (area, 0.4, 0.9),
        (draw.angle, -30, 30),
        (draw.brightness, -0.2, 0.2),
        (draw.contrast, 0.7, 1.3),
        (draw.erase_width[draw.erase_width > 0] * draw.erase_height[draw.erase_width > 0], 0.02, 0.15),
        (draw.sigma[draw.sigma > 0], 0.002, 0.008),
        (draw.gamma.log(), -0.4, 0.4),
        (draw.noise, 0, 0.1),
        (draw.jpeg[draw.jpeg > 0], 20, 90),
        (draw.resolution[draw.resolution < 1], 0.3, 0.8),
        (draw.sharpness, 0.4, 1.6),
    ):
        slack = 0.02 * (high - low)
        assert low - 1e-6 <= values.min() <= low + slack
        assert high - slack <= values.max() <= high + 1e-6
    assert (draw.width <= 1).all()
    assert (draw.height <= 1).all()
    assert (draw.x.abs() <= 1 - draw.width + 0.2 + 1e-6).all()
    ratio = draw.width / draw.height
    assert 3 / 4 - 1e-5 <= ratio.min() < 0.8
    assert 1.25 < ratio.max() <= 4 / 3 + 1e-5


@pytest.mark.parametrize("field", ["flip_horizontal", "flip_vertical", "blur", "erase", "equalise"])
def test_a_probability_is_a_share(field: str) -> None:
    chosen = dataclasses.replace(augment.AugmentSet(), **{field: 0.7})  # type: ignore[arg-type]
    draw = augment.draw(chosen, 4000, 5)
    hit = {
        "flip_horizontal": draw.mirror_x == -1,
        "flip_vertical": draw.mirror_y == -1,
        "blur": draw.sigma > 0,
        "erase": draw.erase_width > 0,
        "equalise": draw.equalise == 1,
    }
    for name, where in hit.items():
        expected = 0.7 if name == field else 0.0
        assert abs(where.float().mean() - expected) < 4 * math.sqrt(0.7 * 0.3 / 4000) * (name == field) + 1e-9, name


def test_the_xray_set_never_flips_blurs_or_erases() -> None:
    for name in ("xray", "xray-intensity"):
        draw = augment.draw(augment.SETS[name], 2000, 0)
        assert (draw.mirror_x == 1).all()
        assert (draw.mirror_y == 1).all()
        assert (draw.sigma == 0).all()
        assert (draw.erase_width == 0).all()
        assert draw.angle.abs().max() <= 10
    assert not draw.moves().any(), "intensity alone leaves the geometry"


def test_what_came_later_does_not_move_the_older_draws() -> None:
    """Recorded runs are repeated only as long as these 19 columns stay as they are."""
    uniform = torch.rand(5, 19, generator=torch.Generator().manual_seed(3))
    draw = augment.draw(EVERYTHING, 5, 3)
    torch.testing.assert_close(draw.angle, 30 * (2 * uniform[:, 7] - 1))
    torch.testing.assert_close(draw.brightness, 0.2 * (2 * uniform[:, 10] - 1))


def test_the_set_of_system_5_is_the_published_one() -> None:
    draw = augment.draw(augment.SETS["xray-flip"], 2000, 0)
    assert 9.9 < draw.angle.abs().max() <= 10
    assert 0.19 < draw.x.abs().max() <= 0.2  # 10 % of the side, the image spanning -1..1
    assert 0.19 < draw.y.abs().max() <= 0.2
    assert 0.45 < (draw.mirror_x == -1).float().mean() < 0.55
    assert 0.45 < draw.equalise.mean() < 0.55
    assert (draw.mirror_y == 1).all()
    assert (draw.width == 1).all()
    assert (draw.brightness == 0).all()
    assert (draw.contrast == 1).all()


def test_the_ct_set_flips_as_often_as_published() -> None:
    assert augment.SETS["ct"].flip_horizontal == augment.SETS["ct"].flip_vertical == 0.7


# The parameters that a draw had on 2026-11-27, before recipes had ranges.
PARAMETERS = (
    "width", "height", "x", "y", "angle", "mirror_x", "mirror_y", "brightness", "contrast", "sigma", "erase_left",
    "erase_top", "erase_width", "erase_height", "equalise",
)  # fmt: skip
BEFORE = {
    "none": [
        2080, 2080, 0, 0, 0, 2080, 2080, 0,
        2080, 0, 762.8135, 796.5336, 0, 626.5296, 0,
    ],
    "ct": [
        1807.6815, 1819.006, 17.402, 30.7388, -745.045, -428, -784, 6.0565,
        2138.3123, 1.5207, 762.8135, 796.5336, 0, 626.5296, 0,
    ],
    "ct-upright": [
        1807.6815, 1819.006, 17.402, 30.7388, -1117.5675, 540, 2080, 6.0565,
        2167.4684, 0, 762.8135, 796.5336, 0, 626.5296, 0,
    ],
    "xray": [
        2123.5455, 2123.5455, -5.7847, 17.6046, -745.045, 2080, 2080, 6.0565,
        2138.3123, 0, 762.8135, 796.5336, 0, 626.5296, 0,
    ],
    "xray-intensity": [
        2080, 2080, 0, 0, 0, 2080, 2080, 6.0565,
        2138.3123, 0, 762.8135, 796.5336, 0, 626.5296, 0,
    ],
    "xray-flip": [
        2080, 2080, -11.5694, 35.2092, -745.045, 540, 2080, 0,
        2080, 0, 762.8135, 796.5336, 0, 626.5296, 763,
    ],
    "strong": [
        1675.432, 1691.1778, 31.1414, 40.1354, -1490.09, 540, 2080, 12.113,
        2196.6245, 5.5776, 762.8135, 796.5336, 303.3588, 626.5296, 0,
    ],
}  # fmt: skip
"""Of PARAMETERS: the sum over 64 draws, each times its number, as the code before ranges could be set drew them."""


@pytest.mark.parametrize("name", BEFORE)
def test_the_older_sets_draw_as_before_ranges_could_be_set(name: str) -> None:
    draw = augment.draw(augment.SETS[name], 64, 20261127)
    weights = torch.arange(1, 65, dtype=torch.float64)
    # Not to the bit: processors round exponentials and sines otherwise.
    found = [float((getattr(draw, field).double().reshape(64, -1).sum(1) * weights).sum()) for field in PARAMETERS]
    assert found == pytest.approx(BEFORE[name], rel=1e-5, abs=1e-3)
    for field, off in {"gamma": 1, "noise": 0, "jpeg": 0, "resolution": 1, "sharpness": 1}.items():
        assert (getattr(draw, field) == off).all(), field


def test_a_new_range_moves_no_older_draw() -> None:
    older = augment.draw(augment.SETS["ct"], 9, 4)
    more = dataclasses.replace(augment.SETS["ct"], gamma=0.5, noise=0.2, jpeg=(10.0, 90.0), resolution=(0.4, 1.0))
    newer = augment.draw(more, 9, 4)
    assert all(torch.equal(getattr(older, field), getattr(newer, field)) for field in PARAMETERS)
    assert (newer.noise > 0).all()
    assert torch.equal(older.noise_seed, newer.noise_seed)


def test_a_stretch_is_log_uniform_and_keeps_the_area() -> None:
    draw = augment.draw(augment.AugmentSet(aspect=0.6), 4000, 0)
    torch.testing.assert_close(draw.width * draw.height, torch.ones(4000))
    # A window half as wide shows its content twice as wide.
    stretch = (draw.height / draw.width).log()
    assert -0.6 <= stretch.min() < -0.59
    assert 0.59 < stretch.max() <= 0.6 + 1e-6
    quarters = torch.histc(stretch, bins=4, min=-0.6, max=0.6) / 4000
    assert (quarters - 0.25).abs().max() < 0.03


@pytest.mark.parametrize(("rate", "of"), [("jpeg_rate", "jpeg"), ("resolution_rate", "resolution")])
def test_files_and_lower_resolutions_come_at_their_rate(rate: str, of: str) -> None:
    chosen = dataclasses.replace(augment.AugmentSet(), **{of: (0.5, 0.9), rate: 0.3})  # type: ignore[arg-type]
    hit = (getattr(augment.draw(chosen, 4000, 5), of) * 10) % 10 > 0
    assert abs(hit.float().mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 4000)


def test_a_rate_leaves_whole_images_plain_and_the_others_as_they_were() -> None:
    ranges = dataclasses.replace(EVERYTHING, noise_rate=1.0)
    always = augment.draw(ranges, 2000, 7)
    often = augment.draw(dataclasses.replace(ranges, rate=0.7), 2000, 7)
    images = torch.randint(0, 256, (2000, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    same = torch.stack([(augment.apply(images, 8, often) == augment.plain(images, 8)).flatten(1).all(1)]).squeeze()
    assert 0.27 < same.float().mean() < 0.33
    for field in dataclasses.fields(augment.Draw):
        assert torch.equal(getattr(often, field.name)[~same], getattr(always, field.name)[~same]), field.name


def test_noise_comes_as_often_as_its_rate() -> None:
    found = augment.draw(augment.AugmentSet(noise=0.1, noise_rate=0.3), 2000, 7).noise
    assert 0.27 < (found > 0).float().mean() < 0.33
    assert 0.0 <= found.min() <= found.max() <= 0.1


def test_each_side_has_a_band_in_half_of_the_framed_pictures() -> None:
    found = augment.draw(augment.AugmentSet(frame=0.2, frame_rate=0.6), 4000, 3)
    sides = torch.stack([found.frame_left, found.frame_right, found.frame_top, found.frame_bottom])
    assert 0.0 <= sides.min() < sides.max() <= 0.2
    assert ((sides > 0).float().mean(1) - 0.3).abs().max() < 0.03
    assert abs(float((sides > 0).any(0).float().mean()) - 0.6 * (1 - 0.5**4)) < 0.03
