"""A crop of known place is found again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from contrastive_cxr.audit import alignment

RNG = np.random.default_rng(0)
LARGE = gaussian_filter(RNG.normal(size=(512, 512)), 14)
LARGE = ((LARGE - LARGE.min()) / (LARGE.max() - LARGE.min()) * 200 + 20).astype(np.float32)


def small(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """A part of the large picture at 64 x 64, by means of whole cells."""
    rows = np.linspace(top * 512, (1 - bottom) * 512, 65).astype(int)
    columns = np.linspace(left * 512, (1 - right) * 512, 65).astype(int)
    means = [[LARGE[a:b, c:d].mean() for c, d in pairwise(columns)] for a, b in pairwise(rows)]
    return np.array(means, dtype=np.float32)


@pytest.mark.parametrize("crop", [(0, 0, 0, 0), (0.06, 0.0, 0.0, 0.03), (0.05, 0.05, 0.05, 0.05), (0, 0.08, 0.04, 0)])
def test_a_crop_is_placed(crop: tuple[float, float, float, float]) -> None:
    whole, part = small(0, 0, 0, 0)[None], small(*crop)[None] * 0.8 + 12
    found = alignment.align(whole, part, alignment.start_of(np.zeros((1, 4), np.float32)))
    found = alignment.refine(whole, part, found, 4)
    left, top, right, bottom = crop
    np.testing.assert_allclose(found[0], [1 - left - right, left - right, 1 - top - bottom, top - bottom], atol=0.01)
    moved, inside = alignment.place(whole, found)
    assert np.corrcoef(moved[inside], part[inside])[0, 1] > 0.995


def test_a_start_is_the_crop_itself() -> None:
    start = alignment.start_of(np.array([[0.1, 0.2, 0.0, 0.05]], np.float32))
    np.testing.assert_allclose(start, [[0.9, 0.1, 0.75, 0.15]], atol=1e-6)


def test_the_identity_changes_nothing_and_reaches_everywhere() -> None:
    pictures = RNG.normal(size=(2, 64, 64)).astype(np.float32)
    moved, inside = alignment.place(pictures, np.tile(np.array([1, 0, 1, 0], np.float32), (2, 1)))
    np.testing.assert_allclose(moved, pictures, atol=1e-5)
    assert inside.all()


def test_what_lies_outside_is_said() -> None:
    pictures = np.ones((1, 64, 64), np.float32)
    _, inside = alignment.place(pictures, np.array([[1, 0.5, 1, 0]], np.float32))
    assert inside[0, :, :47].all()
    assert not inside[0, :, 49:].any()
