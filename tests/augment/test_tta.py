"""The views of test-time augmentation, by NumPy."""

from __future__ import annotations

import typing

import numpy as np
import pytest
import torch

from contrastive_cxr import augment
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import TtaName

IMAGES = torch.randint(0, 256, (3, 1, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
GREY = IMAGES[:, 0].numpy() / 255


def test_names_are_those_of_the_recipe() -> None:
    assert tuple(augment.TTA_SETS) == typing.get_args(TtaName)
    counts = {name: len(views) for name, views in augment.TTA_SETS.items()}
    assert counts == {"none": 1, "mirror-turn": 3, "equalise-shift": 3, "crops": 3, "wide": 5}


@pytest.mark.parametrize("name", augment.TTA_SETS)
def test_the_first_view_is_plain_and_all_repeat(name: str) -> None:
    first, again = augment.views(IMAGES, 20, name), augment.views(IMAGES, 20, name)
    assert len(first) == len(augment.TTA_SETS[name])
    assert torch.equal(first[0], augment.plain(IMAGES, 20))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    alone = augment.views(IMAGES[1:2], 20, name)
    for together, single in zip(first, alone, strict=True):
        torch.testing.assert_close(together[1:2], single)


def test_mirror_and_turn() -> None:
    _, mirrored, turned = (view[:, 0].numpy() for view in augment.views(IMAGES, 20, "mirror-turn"))
    np.testing.assert_allclose(mirrored, GREY[:, :, ::-1], atol=1e-5)
    bar = torch.zeros(1, 1, 41, 41, dtype=torch.uint8)
    bar[..., 20, :] = 255
    right = augment.views(bar, 41, "mirror-turn")[2][0, 0, :, 20 + 15].numpy()
    # counter-clockwise: the bar's right end rises by 15 tan(10 degrees)
    assert 20 - (right * np.arange(41)).sum() / right.sum() == pytest.approx(15 * np.tan(np.pi / 18), abs=0.1)
    assert turned.shape == mirrored.shape


def test_equalise_and_shift() -> None:
    _, equalised, shifted = (view[:, 0].numpy() for view in augment.views(IMAGES, 20, "equalise-shift"))
    np.testing.assert_allclose(equalised, augment.equalise(IMAGES)[:, 0].numpy() / 255, atol=1e-6)
    expected = np.zeros_like(GREY)
    expected[:, :, 2:] = GREY[:, :, :-2]
    np.testing.assert_allclose(shifted, expected, atol=1e-5)


def window(grey: np.ndarray, high: float, wide: float) -> np.ndarray:
    """The middle `high` x `wide` of each image, 20 x 20 again: bilinear sampling by hand, black outside."""
    found = np.zeros_like(grey)
    for line in range(20):
        for column in range(20):
            y, x = 10 + ((line + 0.5) - 10) * high - 0.5, 10 + ((column + 0.5) - 10) * wide - 0.5
            if not (-0.5 <= y <= 19.5 and -0.5 <= x <= 19.5):
                continue
            top, left = int(np.floor(y)), int(np.floor(x))
            for row, share_y in ((top, top + 1 - y), (top + 1, y - top)):
                for place, share_x in ((left, left + 1 - x), (left + 1, x - left)):
                    pixel = grey[:, min(max(row, 0), 19), min(max(place, 0), 19)]
                    found[:, line, column] += share_y * share_x * pixel
    return found


def test_crops_and_wide_are_windows_of_the_image() -> None:
    wanted = {
        "crops": [(1, 1), (0.9, 0.9), (1 / 0.9, 1 / 0.9)],
        "wide": [(1, 1), (0.85, 1), (1, 0.85), (0.85, 0.85), (1 / 0.9, 1 / 0.9)],
    }
    for name, windows in wanted.items():
        for view, (high, wide) in zip(augment.views(IMAGES, 20, name), windows, strict=True):
            np.testing.assert_allclose(view[:, 0].numpy(), window(GREY, high, wide), atol=1e-5)


def test_an_unknown_set_is_refused() -> None:
    with pytest.raises(RequestError, match=r"'mirror-turns' .did you mean 'mirror-turn'"):
        augment.views(IMAGES, 20, "mirror-turns")
