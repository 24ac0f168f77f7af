"""The words say what was drawn: held against the draw itself, and against where a bright spot lies after it."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch

from contrastive_cxr.augment import AugmentSet, Draw, apply, draw
from contrastive_cxr.augment.changes import in_words


def words(size: int = 100, **ranges: object) -> list[str]:
    return in_words(draw(AugmentSet(**ranges), 1, seed=3), 0, size)  # type: ignore[arg-type]


def changed(**values: float) -> Draw:
    """A draw of one image that changes nothing but these fields."""
    return dataclasses.replace(draw(AugmentSet(), 1, 0), **{name: torch.tensor([v]) for name, v in values.items()})


def test_nothing_is_said_of_what_does_not_change() -> None:
    assert words() == []
    assert in_words(changed(contrast=1.004, angle=-0.04, brightness=-0.001, x=0.004), 0, 100) == []
    plain = draw(AugmentSet(rotate=9.0, noise=0.2, flip_horizontal=1.0, rate=0.0), 4, 0)
    assert [in_words(plain, row, 64) for row in range(4)] == [[]] * 4, "left plain by the set's rate"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width": 0.8, "height": 0.8}, ["zoom 1.25"]),
        ({"width": 0.5, "height": 1.0}, ["zoom 1.41", "aspect 2.00"]),
        ({"angle": -4.25}, ["rotate -4.2 deg"]),
        ({"mirror_y": -1.0}, ["mirrored top-bottom"]),
        ({"gamma": 0.9, "jpeg": 40.0}, ["gamma 0.90", "JPEG quality 40"]),
        ({"sigma": 0.012, "sharpness": 1.3}, ["blur 1.2 px", "sharpness 1.30"]),
        ({"resolution": 0.5, "noise": 0.0213}, ["resolution 0.50", "noise 0.021"]),
        ({"contrast": 1.1, "brightness": -0.2, "equalise": 1.0},
         ["histogram equalised", "contrast 1.10", "brightness -0.20"]),
        ({"erase_width": 0.2, "erase_height": 0.3}, ["erased 20 % x 30 %"]),
        ({"frame_left": 0.08, "frame_bottom": 0.031}, ["frame left 8 % bottom 3 %"]),
    ],
)  # fmt: skip
def test_each_change_has_its_value(values: dict[str, float], said: list[str]) -> None:
    assert in_words(changed(**values), 0, 100) == said


def test_the_values_are_those_of_each_image() -> None:
    drawn = draw(AugmentSet(rotate=20.0, gamma=0.5), 8, seed=1)
    for row in range(8):
        rotate, gamma = in_words(drawn, row, 64)
        assert float(rotate.split()[1]) == pytest.approx(float(drawn.angle[row]), abs=0.051)
        assert float(gamma.split()[1]) == pytest.approx(float(drawn.gamma[row]), abs=0.0051)
    assert len({in_words(drawn, row, 64)[0] for row in range(8)}) == 8


@pytest.mark.parametrize("seed", range(6))
def test_the_centre_of_the_image_lies_where_the_shift_says(seed: int) -> None:
    """A spot in the middle of an image, found again in the augmented picture."""
    spread = np.exp(-(((np.mgrid[:128, :128] - 63.5) ** 2).sum(0)) / 32)
    spot = torch.from_numpy((255 * spread).astype(np.uint8))[None, None]
    ranges = AugmentSet(crop=(0.7, 0.9), rotate=40.0, zoom=(0.7, 0.9), shift=0.15, aspect=0.3, flip_horizontal=0.5)
    drawn = draw(ranges, 1, seed)
    after = apply(spot, 128, drawn)[0, 0].numpy()
    down, right = ((np.mgrid[:128, :128] * after).sum((1, 2)) / after.sum() - 63.5) / 128 * 100
    shift = next((said for said in in_words(drawn, 0, 128) if said.startswith("shift")), "")
    told = {side: int(percent) for percent, side in re.findall(r"(\d+) % (\w+)", shift)}
    assert told.get("right", 0) - told.get("left", 0) == pytest.approx(right, abs=0.8)
    assert told.get("down", 0) - told.get("up", 0) == pytest.approx(down, abs=0.8)
