"""The search that is cut into calls finds the links that one process finds, whatever the sizes of its pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from contrastive_cxr.audit import candidates, hashes, likeness, links, spread_links
from contrastive_cxr.audit.symmetries import NAMES, turned
from contrastive_cxr.errors import RequestError
from contrastive_cxr.spread import Here
from tests.audit.conftest import Planted


def pictures(n: int, seed: int = 0) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(n, 64, 64)), (0, 3, 3))
    return np.clip(128 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


def block_of(some: np.ndarray) -> spread_links.Block:
    """Pictures of 64 pixels are their own squares."""
    store = spread_links.Store.of(some[:, None])
    return spread_links.Block(store, np.arange(len(some)), np.zeros((len(some), 4), np.int64))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, bands and calls of pairs among a few dozen pictures, and none of them of one length."""
    monkeypatch.setattr(spread_links, "BLOCK", 17)
    monkeypatch.setattr(spread_links, "BAND", 23)
    monkeypatch.setattr(spread_links, "PAIRS", 13)


def same(found: object, wanted: object) -> None:
    for name, column in vars(wanted).items():
        np.testing.assert_array_equal(vars(found)[name], column, err_msg=name)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("count", [1, 2, 9, 70])
def test_the_candidates_are_the_same_in_the_same_order(count: int) -> None:
    some = pictures(count)
    copies = [turned(some[row : row + 1], way) for row, way in zip(range(0, count, 7), range(1, 8), strict=False)]
    every = np.concatenate([some, *copies, some[3:5]])  # equal hashes too
    found = spread_links.propose(block_of(every), Here())
    same(found, candidates.propose(every))
    assert len(found) or count < 2


@pytest.mark.usefixtures("small_pieces")
def test_equally_near_hashes_are_taken_in_the_order_of_one_search() -> None:
    some = np.concatenate([pictures(3)] * 20 + [pictures(5, 1)])  # twenty equals, and twelve neighbours are asked for
    same(spread_links.propose(block_of(some), Here()), candidates.propose(some))


@pytest.mark.usefixtures("small_pieces")
def test_the_typical_spectrum_is_exact() -> None:
    for count in (1, 15, 16, 51, 52):  # below 16 pictures it is taken otherwise
        some = pictures(count)
        found, wanted = spread_links._usual(block_of(some), Here()), hashes.usual(hashes.spectra(some))
        np.testing.assert_array_equal(found.middle, wanted.middle)
        np.testing.assert_array_equal(found.deviation, wanted.deviation)


@pytest.mark.usefixtures("small_pieces")
def test_the_pairs_are_confirmed_alike() -> None:
    some = np.concatenate([pictures(30), turned(pictures(30)[:10], NAMES.index("mirror"))])
    pairs = candidates.propose(some)
    assert len(pairs) >= 10
    found, wanted = spread_links.confirm(block_of(some), pairs, Here()), likeness.confirm(some, pairs)
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.usefixtures("small_pieces")
def test_planted_copies_are_the_same_links(planted: Planted) -> None:
    found = spread_links.find(planted.images, planted.slots, planted.table, None, Here())
    same(found, planted.links)
    assert len(found) > 20


@pytest.mark.usefixtures("small_pieces")
def test_pairs_of_an_embedding_are_looked_at_too() -> None:
    some = pictures(20)
    images = np.concatenate([some, some[:1]])[:, None]
    facts = pd.DataFrame({"digest": [str(n % 19) for n in range(21)], "width": 64, "height": 64})
    facts = facts.assign(pad_left=0, pad_top=0, pad_right=0, pad_bottom=0)
    more = np.array([1, 2, 20]), np.array([5, 6, 7])
    found = spread_links.find(images, np.arange(21), facts, more, Here())
    same(found, links.find(images, np.arange(21), facts, more))
    assert found.identical.sum() == 2, "one file with the bytes of another, one with its pixels"


class Counting(Here):
    """Which functions were called, and the largest argument that was sent."""

    def __init__(self) -> None:
        self.bytes = 0

    def results(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]]) -> Iterator[Any]:
        for call in calls:
            sent = [each for each in call if isinstance(each, spread_links.Block)]
            self.bytes = max([self.bytes, *(each.slots.nbytes + each.pads.nbytes for each in sent)])
            assert all(isinstance(each.store.squares, str) for each in sent), "pictures are sent"
            yield function(*call)


@pytest.mark.usefixtures("small_pieces")
def test_a_mapped_cache_is_sent_by_name_and_read_where_it_is_needed(tmp_path: Path) -> None:
    some = pictures(40)
    some.tofile(tmp_path / "images.u8")
    mapped = np.memmap(tmp_path / "images.u8", np.uint8, "r", shape=(40, 1, 64, 64))
    facts = pd.DataFrame({"digest": [str(n) for n in range(40)], "width": 64, "height": 64})
    facts = facts.assign(pad_left=0, pad_top=0, pad_right=0, pad_bottom=0)
    counting = Counting()
    found = spread_links.find(mapped, np.arange(40), facts, None, counting)
    same(found, links.find(some[:, None], np.arange(40), facts))
    assert 0 < counting.bytes <= 17 * 8 * 5 * 2
    (tmp_path / "images.u8").unlink()
    with pytest.raises(RequestError, match="on a disk that all machines see"):
        spread_links.Store(str(tmp_path / "images.u8"), mapped.shape).opened()
