from __future__ import annotations

import numpy as np
import torch
from PIL import ImageFont

from contrastive_cxr import augment
from contrastive_cxr.augment import changes, pictures


def test_originals_stand_beside_their_augmented_selves_above_what_was_drawn() -> None:
    images = torch.randint(0, 256, (16, 1, 24, 24), dtype=torch.uint8)
    painted = augment.picture(images, 24, "xray-intensity", seed=4)
    pixels = np.asarray(painted)
    assert painted.mode == "L"
    side, step = 5 * 24, 2 * 5 * 24 + 6  # 24 pixels are painted five times as large
    assert painted.width == 4 * step + 6
    expected = (augment.augment(images, 24, "xray-intensity", seed=4) * 255).round().to(torch.uint8)
    tops = []
    for number in range(16):
        both = torch.cat([images[number, 0], expected[number, 0]], dim=1).numpy().repeat(5, 0).repeat(5, 1)
        left = 6 + number % 4 * step
        column = pixels[:, left : left + 2 * side]
        top = next(t for t in range(len(column) - side) if (column[t : t + side] == both).all())
        tops.append(top)
        assert (column[top + side : top + side + 14] < 128).any(), "what was drawn, below"
    assert tops == [top for top in tops[::4] for _ in range(4)], "four in a line"
    for column in range(8):  # `before` and `after` above each
        assert (pixels[:14, 6 + column // 2 * step + column % 2 * side :][:, :60] < 128).any()


def test_the_words_are_those_of_each_image() -> None:
    """Of two images one is mirrored and one is unchanged: each has its own words below it."""
    images, half = torch.full((2, 1, 128, 128), 200, dtype=torch.uint8), augment.AugmentSet(flip_horizontal=0.5)
    seed = next(each for each in range(50) if augment.draw(half, 2, each).mirror_x.sum() == 0)
    painted = np.asarray(augment.picture(images, 128, half, seed))
    said = [changes.in_words(augment.draw(half, 2, seed), row, 128) for row in range(2)]
    assert sorted(said) == [[], ["mirrored left-right"]]
    below = painted[15 + 6 + 128 :]
    widths = [int((below[:, left : left + 256] < 128).any(0).nonzero()[0].max()) for left in (6, 268)]
    font = ImageFont.load_default(12)
    for width, words in zip(widths, said, strict=True):
        assert abs(width - font.getlength((words or ["unchanged"])[0])) < 4


def test_few_images_make_a_small_picture() -> None:
    painted = augment.picture(torch.zeros(2, 1, 16, 16, dtype=torch.uint8), 16, "none", seed=0)
    assert painted.size == (2 * (2 * 128 + 6) + 6, 15 + 6 + 128 + 15 + 12)


def test_large_pictures_have_larger_letters_since_the_report_shows_them_smaller() -> None:
    images = torch.zeros(4, 1, 320, 320, dtype=torch.uint8)
    tall = augment.picture(images, 320, "none", seed=0).height - 320
    assert tall > 2 * (augment.picture(images, 128, "none", seed=0).height - 128 - 18)


def test_lines_are_as_wide_as_the_pair_and_break_between_changes() -> None:
    font = ImageFont.load_default(12)
    told = ["zoom 1.48", "rotate 6.1 deg", "shift 4 % left 2 % down", "gamma 0.90", "frame left 9 % bottom 6 %"]
    lines = pictures.broken(told, font, 160)
    assert ", ".join(told) == " ".join(lines)
    assert all(font.getlength(line) <= 160 for line in lines)
    assert all(line.endswith(",") for line in lines[:-1])
    assert max(len(line.split()) for line in pictures.broken(told, font, 10)) == 1, "words alone where nothing fits"


def test_the_parameters_in_words_are_the_ranges_that_change_something() -> None:
    chosen = augment.AugmentSet(crop=(0.5, 1.0), rotate=7.0, sigma=(0.001, 0.002), noise=0.0, noise_rate=0.5)
    assert augment.parameters(chosen) == "crop 0.5 to 1; ratio 0.75 to 1.33333; rotate 7."
    assert "flip horizontal 0.5" in augment.parameters("xray-flip")
