"""Large JPEG files unpacked at a part of their size, against the whole picture averaged by numpy."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contrastive_cxr.data.decoding.decode import DecodeError, decode, fit_square
from contrastive_cxr.recipe.schema import Data


def _picture(height: int, width: int) -> NDArray[np.uint8]:
    """Soft waves, as in a radiograph."""
    down, across = np.mgrid[:height, :width]
    values = 128 + 50 * np.sin(down / 90) + 50 * np.cos(across / 60) + 10 * np.sin((down + across) / 25)
    return values.astype(np.uint8)


def _jpeg(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("height", "width", "side", "wanted"),
    [
        (1024, 1024, 224, (512, 512)),  # the longest reduction that leaves 448
        (1024, 1024, 128, (256, 256)),
        (1024, 1024, 260, (1024, 1024)),  # a half would leave less than twice the side
        (1000, 2000, 120, (250, 500)),  # the shorter side decides
        (2001, 1501, 100, (501, 376)),  # a part of a pixel at the end counts as one
    ],
)
def test_a_jpeg_is_reduced_to_no_less_than_twice_the_side(
    height: int, width: int, side: int, wanted: tuple[int, int]
) -> None:
    grey, facts = decode(_jpeg(Image.fromarray(_picture(height, width))), Data(), side=side)
    assert grey.shape == wanted
    assert min(grey.shape) >= 2 * side or grey.shape == (height, width)
    assert (facts.height, facts.width, facts.mode) == (height, width, "L")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_reduced_pixel_is_the_mean_of_those_it_stands_for(mode: str) -> None:
    picture = _picture(512, 640)
    content = _jpeg(Image.fromarray(picture).convert(mode))
    half = decode(content, Data(), side=100)[0]
    means = picture.reshape(256, 2, 320, 2).mean((1, 3))
    assert half.shape == means.shape
    assert np.abs(half - means).mean() < 0.7
    assert np.abs(half - means).max() < 4


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
def test_the_square_stays_what_it_was_but_for_part_of_a_grey_level(resize: str) -> None:
    content = _jpeg(Image.fromarray(_picture(900, 1100)))
    full, reduced = (fit_square(decode(content, Data(), side=side)[0], 96, resize)[0] for side in (None, 96))
    assert not np.array_equal(full, reduced)
    assert np.abs(full.astype(float) - reduced).mean() < 0.6


@pytest.mark.parametrize(
    "data",
    [Data(decoding=2), Data(decoding=1), Data(denoise="median"), Data(equalise="histogram"), Data(equalise="clahe")],
)
def test_earlier_decoders_and_filters_see_the_pixels_of_the_file(data: Data) -> None:
    content = _jpeg(Image.fromarray(_picture(400, 400)))
    assert np.array_equal(decode(content, data, side=50)[0], decode(content, data)[0])
    assert decode(content, data, side=50)[0].shape == (400, 400)


def test_a_turned_picture_is_as_high_as_it_is_shown() -> None:
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees
    grey, facts = decode(_jpeg(Image.fromarray(_picture(400, 800)), exif=exif), Data(), side=50)
    assert (facts.height, facts.width) == (800, 400)
    assert grey.shape == (200, 100)


def test_other_files_and_small_ones_are_not_reduced() -> None:
    buffer = io.BytesIO()
    picture = _picture(400, 400)
    Image.fromarray(picture).save(buffer, "PNG")
    assert np.array_equal(decode(buffer.getvalue(), Data(), side=50)[0], picture)
    content = _jpeg(Image.fromarray(_picture(150, 150)))
    assert np.array_equal(decode(content, Data(), side=150)[0], decode(content, Data())[0])


def test_a_truncated_file_is_still_refused() -> None:
    content = _jpeg(Image.fromarray(_picture(800, 800)))
    with pytest.raises(DecodeError, match="truncated or damaged"):
        decode(content[: len(content) // 2], Data(), side=50)
