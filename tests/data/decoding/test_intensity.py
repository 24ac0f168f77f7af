"""Stored values to 8 bits, each number worked out by hand or in a loop."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.data.decoding.intensity import DecodeError, Stored, check, to_bytes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Intensity


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_dtype_divides_16_bits_by_257() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    grey = to_bytes(Stored(values, 0, 65535), Intensity(kind="dtype"))
    # No 16-bit value lies half way between two multiples of 257, so rounding is unambiguous.
    assert grey.ravel().tolist() == [(value + 128) // 257 for value in range(65536)]


def test_table_and_direct_way_agree(rng: np.random.Generator) -> None:
    values = rng.integers(0, 4096, (300, 300), dtype=np.uint16)  # above 65536 pixels: by table
    setting = Intensity(kind="window", low=100, high=3000)
    by_table = to_bytes(Stored(values, 0, 65535), setting)
    direct = to_bytes(Stored(values[:20], 0, 65535), setting)
    assert np.array_equal(by_table[:20], direct)


def test_12_bits_in_16_are_dark_by_dtype_and_full_by_min_max() -> None:
    stored = Stored(np.array([[0, 1000, 4095]], np.uint16), 0, 65535)
    assert to_bytes(stored, Intensity(kind="dtype")).tolist() == [[0, 4, 16]]
    assert to_bytes(stored, Intensity(kind="min-max")).tolist() == [[0, 62, 255]]


def test_window_clips_both_ends() -> None:
    stored = Stored(np.array([[-2000, -1000, -300, 400, 900]], np.int32), -32768, 32767)
    grey = to_bytes(stored, Intensity(kind="window", low=-1000, high=400))
    assert grey.tolist() == [[0, 0, 128, 255, 255]]  # 700 / 1400 * 255 = 127.5, rounded to even


def test_percentiles_ignore_a_burnt_in_mark() -> None:
    values = np.concatenate([np.arange(999), [60000]]).astype(np.uint16).reshape(10, 100)
    grey = to_bytes(Stored(values, 0, 65535), Intensity(kind="percentile", low=0, high=99))
    high = np.sort(values.ravel())[[989, 990]] @ np.array([0.99, 0.01])  # 0.99 * 999 = 989.01
    wanted = [min(255, round(value / float(high) * 255)) for value in values.ravel().tolist()]
    assert grey.ravel().tolist() == wanted


def test_eight_bits_pass_untouched_and_turned() -> None:
    values = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(to_bytes(Stored(values, 0, 255), Intensity()), values)
    assert np.array_equal(to_bytes(Stored(values, 0, 255, turned=True), Intensity()), values[:, ::-1])


@pytest.mark.parametrize("kind", ["min-max", "percentile"])
def test_a_constant_image_is_black(kind: str) -> None:
    values = np.full((3, 3), 700, np.uint16)
    assert not to_bytes(Stored(values, 0, 65535), Intensity.model_validate({"kind": kind})).any()


def test_floats_must_be_numbers() -> None:
    for wrong in (np.nan, np.inf):
        with pytest.raises(DecodeError, match="no number"):
            to_bytes(Stored(np.array([[0.5, wrong]]), 0, 1), Intensity(kind="min-max"))


def test_floats_outside_0_to_1_need_another_kind() -> None:
    stored = Stored(np.array([[-1024.0, 3071.0]]), 0, 1, container=True)
    with pytest.raises(DecodeError, match="min-max, percentile or window"):
        to_bytes(stored, Intensity(kind="dtype"))
    assert to_bytes(stored, Intensity(kind="min-max")).tolist() == [[0, 255]]
    assert to_bytes(Stored(np.array([[0.0, 0.2, 1.0]]), 0, 1), Intensity(kind="dtype")).tolist() == [[0, 51, 255]]


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        (Intensity(kind="window", low=5, high=5), "not below"),
        (Intensity(kind="percentile", low=99, high=1), "not below"),
        (Intensity(kind="percentile", low=1, high=101), "0..100"),
    ],
)
def test_a_range_that_is_none_is_refused(setting: Intensity, word: str) -> None:
    with pytest.raises(RequestError, match=word):
        check(setting)
    check(Intensity(kind="min-max", low=9, high=1))  # the ends are not used
