"""Filters against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from contrastive_cxr.data.decoding.filters import CLIP, TILES, clahe, clean, crop_border
from contrastive_cxr.recipe.schema import Data


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_border_crop_cuts_each_side() -> None:
    values = np.arange(200).reshape(10, 20)
    assert np.array_equal(crop_border(values, 0.1), values[1:9, 2:18])
    assert crop_border(values, 0.0).shape == (10, 20)
    assert crop_border(np.zeros((1, 1)), 0.49).shape == (1, 1)


def test_median_is_the_middle_of_nine(rng: np.random.Generator) -> None:
    grey = rng.integers(0, 256, (9, 7), dtype=np.uint8)
    result = clean(grey, Data(denoise="median"))
    edged = np.pad(grey, 1, mode="edge")
    for y in range(9):
        for x in range(7):
            assert result[y, x] == sorted(edged[y : y + 3, x : x + 3].ravel().tolist())[4]


def test_histogram_equalisation_flattens_and_keeps_order(rng: np.random.Generator) -> None:
    grey = (rng.random((64, 64)) ** 3 * 90 + 20).astype(np.uint8)
    result = clean(grey, Data(equalise="histogram"))
    order = np.argsort(grey, axis=None)
    assert (np.diff(result.ravel()[order].astype(int)) >= 0).all()
    assert result.min() == 0
    assert result.max() == 255
    for share in (0.25, 0.5, 0.75):
        assert abs((result <= 255 * share).mean() - share) < 0.1
    assert abs((grey <= 128).mean() - 0.5) > 0.4


def _slow_clahe(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """One pixel at a time, the curve of a tile evaluated by counting."""
    height, width = grey.shape
    tall, wide = -(-height // TILES), -(-width // TILES)
    padded = np.pad(grey, ((0, TILES * tall - height), (0, TILES * wide - width)), mode="symmetric")

    def curve(row: int, column: int, value: int) -> float:
        row, column = min(max(row, 0), TILES - 1), min(max(column, 0), TILES - 1)
        tile = padded[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide]
        limit = max(1.0, CLIP * tall * wide / 256)
        counts = [int((tile == level).sum()) for level in range(256)]
        surplus = sum(max(0.0, count - limit) for count in counts)
        below: float = sum(min(count, limit) + surplus / 256 for count in counts[: value + 1])
        return float(below * 255 / (tall * wide))

    result = np.zeros(grey.shape)
    for y in range(0, height, 5):
        for x in range(0, width, 3):
            row, column = (y + 0.5) / tall - 0.5, (x + 0.5) / wide - 0.5
            r, c = int(np.floor(row)), int(np.floor(column))
            v = int(grey[y, x])
            above = curve(r, c, v) * (c + 1 - column) + curve(r, c + 1, v) * (column - c)
            below = curve(r + 1, c, v) * (c + 1 - column) + curve(r + 1, c + 1, v) * (column - c)
            result[y, x] = above * (r + 1 - row) + below * (row - r)
    return result


def test_clahe_against_a_loop(rng: np.random.Generator) -> None:
    grey = (rng.random((43, 34)) * np.linspace(20, 200, 34)).astype(np.uint8)
    slow = _slow_clahe(grey)
    assert np.abs(clahe(grey)[::5, ::3] - slow[::5, ::3]).max() <= 0.51


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (8, 8)])
def test_clahe_of_any_shape(shape: tuple[int, int]) -> None:
    assert clahe(np.full(shape, 90, np.uint8)).shape == shape
