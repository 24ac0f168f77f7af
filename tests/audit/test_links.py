"""Planted copies are found, and nothing else; identical files and pixels are told from near copies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from contrastive_cxr.audit import groups, links
from contrastive_cxr.audit.candidates import every_symmetry, join
from contrastive_cxr.audit.symmetries import NAMES, inverse
from tests.audit.conftest import Planted


def test_every_kind_of_copy_is_found_and_named(planted: Planted) -> None:
    row = {path: number for number, path in enumerate(planted.table["path"])}
    group = groups.numbers(planted.links.first, planted.links.second, len(planted.table))
    ways = {}
    for first, second, turn in zip(planted.links.first, planted.links.second, planted.links.symmetry, strict=True):
        ways[int(first), int(second)] = int(turn)
        ways[int(second), int(first)] = inverse(int(turn))
    missed = [kind for pair, kind in planted.truth.items() if group[row[pair[0]]] != group[row[pair[1]]]]
    assert not missed
    for (first, second), kind in planted.truth.items():
        turn = ways.get((row[first], row[second]))
        if turn is not None:
            assert NAMES[turn] == (kind.split(",")[0] if kind.split(",")[0] in NAMES else "none"), kind


def test_nothing_else_is_called_a_copy(planted: Planted) -> None:
    origin = {copy: original for original, copy in planted.truth}
    paths = planted.table["path"].tolist()
    for first, second in zip(planted.links.first, planted.links.second, strict=True):
        one, other = (origin.get(paths[row], paths[row]) for row in (int(first), int(second)))
        assert one == other, f"{paths[first]} and {paths[second]} are two pictures"


def facts(**columns: list[object]) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    defaults = {"width": [64] * n, "height": [64] * n} | {
        f"pad_{side}": [0] * n for side in ("left", "top", "right", "bottom")
    }
    return pd.DataFrame(defaults | columns)


def test_equal_bytes_and_equal_pixels_are_identical() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 1, 64, 64), dtype=np.uint8)
    images[3] = images[1]  # the same pixels in another file
    slots = np.array([0, 1, 0, 2, 3])
    found = links.find(images, slots, facts(digest=["a", "b", "a", "c", "d"]))
    pairs = set(zip(found.first.tolist(), found.second.tolist(), found.identical.tolist(), strict=True))
    assert pairs == {(0, 2, True), (1, 4, True)}
    assert (found.correlation == 1).all()


def test_equal_squares_of_other_sizes_are_near_not_identical() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 1, 64, 64), dtype=np.uint8).repeat(2, axis=0)
    found = links.find(images, np.arange(2), facts(digest=["a", "b"], width=[64, 128], height=[64, 128]))
    assert found.identical.tolist() == [False]
    assert found.correlation[0] > 0.99


def test_pictures_of_one_grey_are_no_near_copies() -> None:
    images = np.stack([np.full((1, 64, 64), grey, np.uint8) for grey in (0, 50, 200)])
    assert len(links.find(images, np.arange(3), facts(digest=["a", "b", "c"]))) == 0


def test_one_image_and_none() -> None:
    images = np.zeros((1, 1, 64, 64), np.uint8)
    assert len(links.find(images, np.zeros(1, dtype=np.int64), facts(digest=["a"]))) == 0
    none = facts(digest=["a"]).iloc[:0]
    assert len(links.find(images, np.zeros(0, dtype=np.int64), none)) == 0


def test_pairs_that_something_else_proposes_are_confirmed_too(planted: Planted) -> None:
    """A pair that is found anyway, and one that is no copy: the first stays, the second does not."""
    row = {path: number for number, path in enumerate(planted.table["path"])}
    (first, second), _ = next(iter(planted.truth.items()))
    rows = np.sort(
        [row[first], row[second], row["images/00000.png"] if first != "images/00000.png" else row["images/00001.png"]]
    )
    part = planted.table.iloc[rows].reset_index(drop=True)
    every = (np.array([0, 0, 1]), np.array([1, 2, 2]))
    found = links.find(planted.images, planted.slots[rows], part, every)
    assert len(found) == 1
    assert {part["path"][int(found.first[0])], part["path"][int(found.second[0])]} == {first, second}


def test_a_pair_is_joined_once_whatever_its_direction() -> None:
    both = every_symmetry(np.array([3, 1, 2]), np.array([1, 3, 2]))
    assert len(both) == 16
    assert len(join([both])) == 8
