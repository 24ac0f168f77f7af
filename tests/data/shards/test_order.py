"""Orders from a buffer: every image once, the classes of a shuffle, distinct images in a batch, no more than waits."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.data.shards.order import Layout, balanced, uniform, windowed

SIZES = (700, 260, 40)


def layout(buffer: int, slices: int = 4, group: int = 4, shard: int = 32) -> tuple[np.ndarray, np.ndarray, Layout]:
    """1,000 training rows of three classes in shards of one class each, rows mixed; and 100 rows of another part."""
    rng = np.random.default_rng(5)
    labels = rng.permutation(np.repeat([0, 1, 2], SIZES))
    labels = np.concatenate([labels, rng.integers(0, 3, 100)])
    slots, shards, count = np.empty(1100, np.int64), np.empty(1100, np.int64), 0
    place = 0
    for rows in (*(rng.permutation(np.flatnonzero(labels[:1000] == kind)) for kind in range(3)), np.arange(1000, 1100)):
        slots[rows] = place + np.arange(len(rows))
        shards[rows] = count + np.arange(len(rows)) // shard
        place, count = place + len(rows), int(shards[rows].max()) + 1
    return np.arange(1000), labels, Layout(slots, shards, buffer, slices, group)


def counts(labels: np.ndarray, rows: np.ndarray) -> dict[int, int]:
    return {kind: int((labels[rows] == kind).sum()) for kind in range(3)}


@pytest.mark.parametrize("slices", [1, 3, 8])
@pytest.mark.parametrize("buffer", [50, 300, 5000])
def test_an_epoch_sees_every_image_once(buffer: int, slices: int) -> None:
    rows, labels, where = layout(buffer, slices)
    found = uniform(rows, labels, counts(labels, rows), 20, where, np.random.default_rng(0))
    assert [len(each) for each in found] == [20] * 50
    assert sorted(np.concatenate(found)) == rows.tolist()


def test_the_same_key_gives_the_same_order_and_another_another() -> None:
    rows, labels, where = layout(300)
    orders = [
        np.concatenate(uniform(rows, labels, counts(labels, rows), 20, where, np.random.default_rng(seed)))
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_a_last_short_batch_is_left_out_unless_it_is_the_only_one() -> None:
    rows, labels, where = layout(300)
    assert len(uniform(rows, labels, counts(labels, rows), 48, where, np.random.default_rng(0))) == 20
    (only,) = uniform(rows, labels, counts(labels, rows), 2000, where, np.random.default_rng(0))
    assert sorted(only) == rows.tolist()


def test_the_classes_of_a_batch_are_those_of_a_shuffle_of_all_rows() -> None:
    """Images of the first class among the 20 of a batch: mean and variance of a draw without replacement."""
    rows, labels, where = layout(100)
    found = [
        (labels[each] == 0).sum()
        for seed in range(60)
        for each in uniform(rows, labels, counts(labels, rows), 20, where, np.random.default_rng(seed))
    ]
    assert np.mean(found) == pytest.approx(14.0, abs=0.1)
    assert np.var(found) == pytest.approx(20 * 0.7 * 0.3 * 980 / 999, rel=0.1)


def test_more_and_fewer_images_of_a_class() -> None:
    rows, labels, where = layout(200)
    found = np.concatenate(uniform(rows, labels, dict.fromkeys(range(3), 700), 20, where, np.random.default_rng(0)))
    times = np.bincount(found, minlength=1000)
    for kind, size in enumerate(SIZES):
        assert set(times[labels[:1000] == kind]) <= {700 // size, -(-700 // size)}
    fewer = np.concatenate(uniform(rows, labels, dict.fromkeys(range(3), 40), 20, where, np.random.default_rng(0)))
    assert len(np.unique(fewer)) == 120
    assert len(np.unique(where.shards[fewer])) < 20, "of the large classes the shards that come first alone are read"


def test_a_window_draws_no_image_before_it_is_read_and_holds_no_more_than_its_size() -> None:
    sequence = np.arange(500)
    order = windowed(sequence, 40, np.random.default_rng(0))
    assert sorted(order) == sequence.tolist()
    read = np.maximum.accumulate(order) + 1  # read to the furthest image that was drawn
    waiting = read - np.arange(1, 501)
    assert 20 < waiting.max() <= 40
    assert not np.array_equal(order, sequence)


def test_a_window_of_everything_is_any_permutation() -> None:
    """Each of the 6 orders of 3 images about as often."""
    seen = [tuple(windowed(np.arange(3), 3, np.random.default_rng(seed))) for seed in range(1200)]
    assert all(150 < seen.count(each) < 250 for each in set(seen))
    assert len(set(seen)) == 6


@pytest.mark.parametrize("slices", [1, 3, 8])
@pytest.mark.parametrize("buffer", [60, 300])
def test_batches_of_classes_have_distinct_classes_and_images(buffer: int, slices: int) -> None:
    rows, labels, where = layout(buffer, slices)
    found = balanced(rows, labels, 2, 9, 80, where, np.random.default_rng(0))
    assert len(found) == 80
    for batch in found:
        assert len(np.unique(batch)) == 18
        assert sorted(np.unique(labels[batch], return_counts=True)[1]) == [9, 9]
    assert {tuple(np.unique(labels[batch])) for batch in found} == {(0, 1), (0, 2), (1, 2)}


def test_the_images_of_a_class_come_equally_often() -> None:
    rows, labels, where = layout(300)
    drawn = balanced(rows, labels, None, 8, 200, where, np.random.default_rng(0))
    times = np.bincount(np.concatenate(drawn), minlength=1000)
    assert times.sum() == 200 * 24
    for kind, size in enumerate(SIZES):
        own = times[:1000][labels[:1000] == kind]
        assert own.sum() == 1600
        assert own.max() - own.min() <= 2, f"class {kind} of {size} images"


def test_a_slice_reads_shards_of_its_own() -> None:
    """Of two processes with two slices each, each reads about half of the shards of the large class."""
    rows, labels, where = layout(120)
    found = uniform(rows, labels, counts(labels, rows), 20, where, np.random.default_rng(0))
    large = [
        {shard for batch in found for shard in where.shards[batch[part]][labels[batch[part]] == 0]}
        for part in (slice(0, 10), slice(10, 20))
    ]
    assert len(large[0] | large[1]) == 22
    assert len(large[0] & large[1]) <= 2, "those that are cut between slices"


def test_small_classes_give_the_rest_of_the_buffer_to_large_ones() -> None:
    where = layout(300)[2]
    assert where.shares(SIZES) == [130, 130, 40]
    assert where.holds(np.arange(300))
    assert not where.holds(np.arange(301))
