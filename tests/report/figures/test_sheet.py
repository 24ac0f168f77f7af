"""The contact sheets: which images are on them, and what stands below each."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.report.figures import sheet


@pytest.mark.parametrize("count", [0, 1, 4999, 5000, 5001, 60000])
def test_all_are_kept_or_5000_evenly_spaced(count: int) -> None:
    rows = sheet.shown(count)
    assert len(rows) == len(set(rows)) == min(count, 5000)
    assert rows.dtype == np.int64
    if count:
        assert (rows[0], rows[-1]) == (0, count - 1)
        assert np.ptp(np.diff(rows)) <= 1 if count > 1 else True


def test_each_image_stands_in_its_place_with_a_frame_of_its_verdict() -> None:
    rng = np.random.default_rng(0)
    thumbnails = rng.integers(0, 256, (23, 64, 64), dtype=np.uint8)
    truth = ["covid"] * 23
    decided = ["covid" if number % 3 else "normal" for number in range(23)]
    (page,) = sheet.pages(thumbnails, truth, decided)
    pixels = np.asarray(page)
    # ten in a line; a place is a tile of 64 + 2 x 3 pixels, a gap of 24, two lines of words
    for number in range(23):
        left, top = 8 + number % 10 * 94, 8 + number // 10 * 102
        shown = pixels[top + 3 : top + 67, left + 3 : left + 67]
        assert (shown == thumbnails[number][..., None]).all()
        frame = (0, 100, 74) if number % 3 else (213, 94, 0)
        assert tuple(pixels[top, left]) == tuple(pixels[top + 69, left + 69]) == frame
        words = pixels[top + 70 : top + 94, left : left + 90]
        assert (words < 128).any(), "words below the picture"


def test_more_than_a_hundred_go_on_over_pages() -> None:
    thumbnails = np.zeros((205, 64, 64), dtype=np.uint8)
    found = sheet.pages(thumbnails, ["a"] * 205, ["b"] * 205)
    assert [page.height for page in found] == [10 * 102 + 8, 10 * 102 + 8, 102 + 8]
    assert sheet.pages(thumbnails[:0], [], []) == []


def test_a_long_name_is_cut_short() -> None:
    short = sheet._fitted("pneumonia of a very long name")
    assert short.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert sheet._font().getlength(short) <= 90
    assert sheet._fitted("covid") == "covid"


def test_larger_thumbnails_are_drawn_small() -> None:
    (page,) = sheet.pages(np.full((1, 160, 160), 77, np.uint8), ["covid"], ["covid"])
    assert (np.asarray(page)[11:75, 11:75] == 77).all()


@pytest.mark.parametrize("count", [1, 300, 301, 800, 2000, 5000, 10**6])
def test_the_kept_pictures_stay_below_thirty_megabytes(count: int) -> None:
    side = sheet.side(count, 512)
    assert 64 <= side <= 256
    assert len(sheet.shown(count)) * side**2 <= 30e6
    assert sheet.side(count, 32) == 32, "never larger than the image"
