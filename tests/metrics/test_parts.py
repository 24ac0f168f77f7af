"""Scores from parts: those of one table, whatever the parts and the blocks of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics import neighbours, parts
from contrastive_cxr.spread import Here

ROWS, WIDTH, CLASSES = 83, 6, 4


@dataclass
class Cut:
    """An array in parts; counts how often each was read, and the most rows that were given at once."""

    array: np.ndarray
    sizes: tuple[int, ...]
    read: int = 0

    def vectors(self, number: int) -> np.ndarray:
        self.read += 1
        first = sum(self.sizes[:number])
        return self.array[first : first + self.sizes[number]]


def made(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors that cluster by class, with equal rows among them; labels; patients, some unknown."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, rows)
    vectors = (rng.normal(size=(rows, WIDTH)) + 1.5 * np.eye(CLASSES, WIDTH)[labels]).astype(np.float32)
    vectors[5:9] = vectors[1:5]
    return vectors, labels, rng.integers(-1, rows // 3, rows)


def same(found: neighbours.NeighbourScores, wanted: neighbours.NeighbourScores) -> None:
    for name, values in wanted.per_query.items():
        np.testing.assert_allclose(found.per_query[name], values, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.votes, wanted.votes, atol=1e-6)
    np.testing.assert_allclose(found.similarity, wanted.similarity, atol=1e-6)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    assert list(found.values) == list(wanted.values)
    for name, entry in wanted.values.items():
        assert found.values[name]["n"] == entry["n"]
        assert found.values[name]["value"] == pytest.approx(entry["value"], abs=1e-9)


@pytest.mark.parametrize("sizes", [(83,), (40, 43), (1, 30, 30, 22)])
@pytest.mark.parametrize("memory", [1, 4 * ROWS * 7, 2**30])
def test_among_itself(sizes: tuple[int, ...], memory: int) -> None:
    vectors, labels, patients = made(ROWS, 0)
    ids = np.arange(ROWS)
    who = {"gallery_ids": ids, "query_ids": ids, "gallery_patients": patients, "query_patients": patients}
    cut = Cut(vectors, sizes)
    found = parts.scores(cut, labels, cut, labels, k=(1, 3), vote=7, memory=memory, **who)
    same(found, neighbours.scores(vectors, labels, vectors, labels, k=(1, 3), vote=7, **who))


def test_other_queries_and_a_class_that_the_gallery_lacks() -> None:
    vectors, labels, _ = made(ROWS, 0)
    asked, theirs, _ = made(31, 1)
    theirs[4] = CLASSES  # nobody in the gallery
    cut, queries = Cut(vectors, (50, 33)), Cut(asked, (20, 11))
    found = parts.scores(cut, labels, queries, theirs, classes=CLASSES + 1, memory=4 * ROWS * 9)
    same(found, neighbours.scores(vectors, labels, asked, theirs, classes=CLASSES + 1))
    assert np.isnan(found.per_query["map_at_r"][4])


def test_map_at_r_by_a_slow_loop() -> None:
    vectors, labels, _ = made(40, 2)
    vectors[5:9] = vectors[20:24] + 0.01  # no ties
    ids = np.arange(40)
    cut = Cut(vectors, (13, 27))
    found = parts.scores(cut, labels, cut, labels, memory=4 * 40 * 5, gallery_ids=ids, query_ids=ids)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for query in range(40):
        order = [row for row in np.argsort(-(unit @ unit[query]), kind="stable") if row != query]
        wanted = sum(labels[row] == labels[query] for row in order)
        hits = [labels[row] == labels[query] for row in order[:wanted]]
        precision = [sum(hits[: place + 1]) / (place + 1) for place in range(wanted) if hits[place]]
        assert found.per_query["map_at_r"][query] == pytest.approx(sum(precision) / wanted)
        assert found.per_query["r_precision"][query] == pytest.approx(sum(hits) / wanted)


def test_a_block_reads_each_part_once_and_holds_one_at_a_time() -> None:
    vectors, labels, _ = made(ROWS, 0)
    cut, asked = Cut(vectors, (40, 43)), Cut(vectors[:20], (20,))
    parts.scores(cut, labels, asked, labels[:20], memory=4 * ROWS * 5)
    assert asked.read == 4, "four blocks of five queries"
    assert cut.read == 4 * 2


class Elsewhere(Here):
    """Calls in another order than they are given back."""

    def results(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]]) -> Iterator[Any]:
        given = list(calls)
        found = [function(*arguments) for arguments in reversed(given)]
        return iter(found[::-1])


def test_the_order_of_the_work_does_not_matter() -> None:
    vectors, labels, patients = made(ROWS, 0)
    cut = Cut(vectors, (40, 43))
    who = {"gallery_patients": patients, "query_patients": patients}
    found = parts.scores(cut, labels, cut, labels, memory=4 * ROWS * 11, spread=Elsewhere(), **who)
    same(found, neighbours.scores(vectors, labels, vectors, labels, **who))


def test_counts_that_do_not_agree_are_named() -> None:
    vectors, labels, _ = made(ROWS, 0)
    cut = Cut(vectors, (40, 43))
    with pytest.raises(CcxrError, match="82 gallery labels for 83 vectors"):
        parts.scores(cut, labels[:-1], cut, labels)
    with pytest.raises(CcxrError, match="83 vectors need"):
        parts.scores(cut, labels, cut, labels, gallery_ids=np.arange(3))
    with pytest.raises(CcxrError, match="not finite"):
        parts.scores(Cut(vectors * np.nan, (40, 43)), labels, cut, labels)
    with pytest.raises(CcxrError, match="part 1 of the gallery is"):
        parts.scores(Cut(vectors, (40, 44)), np.append(labels, 0), cut, labels)
