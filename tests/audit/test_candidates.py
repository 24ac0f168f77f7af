"""Proposals: against a slow search over every pair, and every way of changing a picture."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from contrastive_cxr.audit import candidates, hashes
from contrastive_cxr.audit.symmetries import NAMES, turned


def pictures(n: int) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(n, 64, 64)), (0, 3, 3))
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_a_turned_copy_is_proposed_under_its_symmetry(name: str) -> None:
    some = pictures(20)
    every = np.concatenate([some, turned(some[4:5], NAMES.index(name))])
    found = candidates.propose(every)
    way = [(int(a), int(b), NAMES[s]) for a, b, s in zip(found.first, found.second, found.symmetry, strict=True)]
    back = {"rotate 90": "rotate 270", "rotate 270": "rotate 90"}.get(name, name)
    assert (4, 20, name) in way or (20, 4, back) in way
    assert len(way) <= 3, "noise is no candidate"


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_cropped_copy_is_proposed_with_its_crop(mirrored: bool) -> None:
    some = pictures(20)
    part = hashes._shrunk(some[4:5], (0.05, 0.05, 0, 0)).repeat(2, axis=1).repeat(2, axis=2).astype(np.uint8)
    part = part[:, :, ::-1] if mirrored else part
    found = candidates.propose(np.concatenate([some, part]))
    rows = np.flatnonzero((found.first == 4) & (found.second == 20) & (found.symmetry == int(mirrored)))
    assert len(rows) == 1
    cut = (0, 0.05, 0.05, 0) if mirrored else (0.05, 0.05, 0, 0)
    np.testing.assert_allclose(found.crop[rows[0]], cut, atol=1e-6)


def test_only_the_most_alike_pairs_of_a_picture_are_kept() -> None:
    rng = np.random.default_rng(0)
    first, second = (column.astype(np.int64) for column in np.triu_indices(12, 1))
    pairs = candidates.Candidates(first, second, np.zeros(len(first), np.int64), np.zeros((len(first), 4), np.float32))
    alike = rng.random(len(first)).astype(np.float32)
    kept = candidates.join([pairs], alike)
    wanted = set()
    for picture in range(12):
        mine = sorted((-value, a, b) for value, a, b in zip(alike, first, second, strict=True) if picture in (a, b))
        wanted |= {(int(a), int(b)) for _, a, b in mine[: candidates.STRONGEST]}
    assert set(zip(kept.first.tolist(), kept.second.tolist(), strict=True)) == wanted


def test_too_few_to_compare() -> None:
    assert len(candidates.propose(pictures(1))) == 0
    assert len(candidates.propose(pictures(1)[:0])) == 0
