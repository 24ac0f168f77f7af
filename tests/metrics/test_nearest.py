"""Deep rankings against a plain sort, in blocks and threads of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contrastive_cxr import cores
from contrastive_cxr.metrics import nearest, neighbours


def ranked(gallery: Any, queries: Any, excluded: Any, depth: int) -> dict[int, nearest.Ranked]:
    found: dict[int, nearest.Ranked] = {}

    def take(query: int, one: nearest.Ranked) -> None:
        found[query] = nearest.Ranked(one.rows.copy(), one.similarity.copy(), one.available)

    nearest.ranked(gallery, queries, lambda query: excluded[query], lambda *_: depth, take)
    return found


def points(rows: int, seed: int) -> Any:
    """Small whole numbers: products are exact, many are equal, many are 0 or below."""
    return np.random.default_rng(seed).integers(-2, 3, size=(rows, 3)).astype(np.float32)


@pytest.mark.parametrize("depth", [0, 1, 7, 40, 49, 200])
@pytest.mark.parametrize(("block", "threads"), [(1, 1), (1200, 3), (1 << 20, 2)])
def test_it_is_a_plain_sort(depth: int, block: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "BLOCK_BYTES", block)
    monkeypatch.setattr(cores, "threads", lambda: threads)
    gallery, queries = points(50, 0), points(13, 1)
    rng = np.random.default_rng(2)
    excluded = [rng.choice(50, number % 4, replace=False) for number in range(13)]
    found = ranked(gallery, queries, excluded, depth)
    assert sorted(found) == list(range(13))
    for query, one in found.items():
        similarity = gallery.astype(float) @ queries[query].astype(float)
        left = [row for row in range(50) if row not in excluded[query]]
        expected = sorted(left, key=lambda row: (-similarity[row], row))[:depth]
        assert one.rows.tolist() == expected
        assert one.available == len(left)
        np.testing.assert_array_equal(one.similarity[one.rows], similarity[one.rows])


def test_minus_zero_and_zero_are_equal() -> None:
    similarity = np.array([0.0, -0.0, -1.0, 0.0, -0.0], np.float32)  # a product may give either
    assert nearest._front(similarity, 4).tolist() == [0, 1, 3, 4]


def test_members_are_those_with_the_same_number() -> None:
    values = np.array([4, -1, 2, 4, -1, 2, 4])
    members = nearest.Members(values, np.array([4, -1, 2, 3]))
    assert [members.rows(query).tolist() for query in range(4)] == [[0, 3, 6], [], [2, 5], []]


def test_copies_of_another_class_rank_by_position_in_the_scores() -> None:
    one, other = np.eye(2, 4, dtype=np.float32)
    gallery = np.stack([one, one, one, other])
    labels = np.array([1, 0, 0, 1])
    found = neighbours.scores(gallery, labels, one[None], np.array([0]), k=(1, 2), vote=2, classes=2)
    each = {name: float(values[0]) for name, values in found.per_query.items()}
    assert each["recall_at_1"] == 0
    assert each["r_precision"] == 0.5
    assert each["map_at_r"] == pytest.approx((1 / 2) / 2)


def test_small_blocks_change_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(90, 5)).astype(np.float32), rng.integers(0, 4, 90)
    patients, ids = rng.integers(-1, 20, 90), np.arange(90)
    who = {"gallery_ids": ids, "query_ids": ids, "gallery_patients": patients, "query_patients": patients}
    whole = neighbours.scores(vectors, labels, vectors, labels, **who)
    monkeypatch.setattr(nearest, "BLOCK_BYTES", 4 * 90 * 7)
    parts = neighbours.scores(vectors, labels, vectors, labels, **who)
    for name, row in whole.per_query.items():
        np.testing.assert_allclose(parts.per_query[name], row, rtol=1e-12)
    np.testing.assert_allclose(parts.votes, whole.votes, rtol=1e-4)


def test_only_the_r_nearest_count_however_deep_the_vote_looks() -> None:
    turned = np.deg2rad(np.arange(0, 60, 10))
    gallery = np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1, 1])
    found = neighbours.scores(gallery, labels, gallery[:1], np.array([0]), k=(6,), vote=6, classes=2)
    assert found.per_query["r_precision"].tolist() == [0.5]
    assert found.per_query["map_at_r"].tolist() == [0.5]
