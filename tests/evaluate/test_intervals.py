"""Intervals against slow loops over the same resamples and against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from contrastive_cxr.evaluate import intervals


@pytest.mark.parametrize(("successes", "n"), [(8, 9), (0, 5), (5, 5), (37, 118)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    expected = binomtest(successes, n).proportion_ci(method="wilson")
    assert intervals.wilson(successes, n) == pytest.approx((expected.low, expected.high))


def test_wilson_of_nothing_is_everything() -> None:
    assert intervals.wilson(0, 0) == (0.0, 1.0)


def test_unknown_groups_are_their_own() -> None:
    numbers = intervals.group_numbers(np.array([7, -1, 7, -1, 3]), 5)
    assert numbers[0] == numbers[2]
    assert sorted(set(numbers.tolist())) == [0, 1, 2, 3]
    assert len(set(intervals.group_numbers(None, 4).tolist())) == 4


def test_a_resample_draws_groups_whole_and_as_many_as_there_are() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2])
    weights = np.concatenate(list(intervals.resampled(groups, 50, seed=1)))
    assert weights.shape == (50, 6)
    for row in weights:
        assert row[0] == row[1]
        assert row[3] == row[4] == row[5]
        assert row[0] + row[2] + row[3] == 3  # three groups drawn from three


def test_bootstrap_is_the_slow_loop_over_repeated_rows() -> None:
    rng = np.random.default_rng(0)
    values, groups = rng.normal(size=40), rng.integers(-1, 9, 40)
    numbers = intervals.group_numbers(groups, 40)
    slow = []
    for weights in np.concatenate(list(intervals.resampled(numbers, 300, seed=5))):
        slow.append(np.mean(np.repeat(values, weights.astype(int))))
    low, high = intervals.bootstrap(lambda w: (w @ values) / w.sum(1), 40, groups, 300, seed=5)
    assert (float(low), float(high)) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))


def test_blocks_do_not_change_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(30, 2))
    low, high = intervals.bootstrap(lambda w: (w @ values) / w.sum(1, keepdims=True), 30, None, 200)
    alone = intervals.bootstrap(lambda w: (w @ values[:, 1]) / w.sum(1), 30, None, 200)
    assert low.shape == high.shape == (2,)
    assert (low[1], high[1]) == pytest.approx(alone)
    monkeypatch.setattr(intervals, "_BLOCK", 30 * 7)
    assert sum(len(block) for block in intervals.resampled(np.arange(30), 200, 0)) == 200


def test_patients_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 20)
    values = rng.normal(size=10)[groups]  # the images of a patient say the same thing
    mean = lambda w: (w @ values) / w.sum(1)  # noqa: E731
    images = intervals.bootstrap(mean, 200)
    patients = intervals.bootstrap(mean, 200, groups)
    assert patients[1] - patients[0] > 2 * (images[1] - images[0])


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_groups_give_no_interval(n: int) -> None:
    low, high = intervals.bootstrap(lambda w: w.sum(1), n)
    assert math.isnan(low)
    assert math.isnan(high)
    assert math.isnan(intervals.bootstrap(lambda w: w.sum(1), 3, np.zeros(3, dtype=np.int64))[0])


def test_paired_leaves_out_undefined_rows_and_takes_the_difference_by_row() -> None:
    first = np.array([1.0, 0.5, np.nan, 1.0, 0.8])
    second = np.array([0.5, 0.0, 0.7, np.nan, 0.3])
    found = intervals.paired(first, second)
    assert found["n"] == 3
    assert found["difference"] == pytest.approx(0.5)
    assert (found["low"], found["high"]) == pytest.approx((0.5, 0.5))  # every row's difference is 0.5


def test_paired_of_nothing_is_undefined() -> None:
    found = intervals.paired(np.full(4, np.nan), np.ones(4))
    assert found["n"] == 0
    assert math.isnan(found["difference"])


def test_paired_statistic_takes_both_of_the_same_resample() -> None:
    values = np.random.default_rng(2).normal(size=50)
    found = intervals.paired_statistic(
        lambda w: (w @ (values + 1)) / w.sum(1), lambda w: (w @ values) / w.sum(1), 50, resamples=200
    )
    assert (found["difference"], found["low"], found["high"]) == pytest.approx((1.0, 1.0, 1.0))
