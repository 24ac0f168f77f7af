"""Places on the map: groups stay groups, the same twice, and nothing breaks on few or equal rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from contrastive_cxr.explore.layout import layout


def laid(vectors: np.ndarray, width: int = 30) -> np.ndarray:
    gaps = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    near = np.argsort(gaps, axis=1)[:, : min(width, len(vectors) - 1)]
    return layout(vectors, near, np.take_along_axis(gaps, near, axis=1).astype(np.float32))


def test_groups_lie_together_and_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 40)
    vectors = (np.eye(8)[group] + rng.normal(size=(120, 8)) * 0.08).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = laid(vectors)
    assert places.dtype == np.float32
    assert np.abs(places).max() == pytest.approx(1, abs=1e-5)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert (group[gaps.argmin(axis=1)] == group).mean() > 0.98
    assert_array_equal(places, laid(vectors))


@pytest.mark.parametrize("count", [1, 2, 4, 30])
def test_few_rows_and_equal_rows_have_places_too(count: int) -> None:
    vectors = np.tile(np.array([1, 0, 0], np.float32), (count, 1))
    places = laid(vectors) if count > 1 else layout(vectors, np.empty((1, 0), np.int64), np.empty((1, 0), np.float32))
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places.round(4), axis=0)) == count
