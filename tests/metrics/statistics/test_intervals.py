"""Intervals against slow loops over the same resamples and against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from contrastive_cxr.metrics.statistics import intervals


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
    value, half = intervals.spread(lambda w: (w @ values) / w.sum(1), 40, groups, 300, seed=5)
    sizes = np.bincount(numbers)
    alike = 40**2 / (sizes**2).sum()
    assert float(value) == pytest.approx(values.mean())
    assert float(half) == pytest.approx(stats.t.ppf(0.975, alike - 1) * alike / (alike - 1) * np.std(slow, ddof=1))


def test_a_score_has_its_interval_on_the_logit_scale() -> None:
    values = np.random.default_rng(0).random(30) ** 4  # a small mean, near 0
    mean = lambda w: (w @ values) / w.sum(1)  # noqa: E731
    value, half = intervals.spread(mean, 30, None, 500)
    low, high = intervals.bootstrap(mean, 30, None, 500)
    odds = [each / (1 - each) for each in (float(low), float(value), float(high))]
    assert odds[1] / odds[0] == pytest.approx(odds[2] / odds[1]), "symmetric in log odds"
    assert np.log(odds[2] / odds[1]) == pytest.approx(float(half) / (value * (1 - value)))
    assert 0 < low < value < high < 1


def test_a_score_of_one_has_no_logit_interval() -> None:
    low, high = intervals.bootstrap(lambda w: w.sum(1) / w.sum(1), 30, None, 200)
    assert math.isnan(low)
    assert math.isnan(high)
    assert intervals.known(float(low), float(high)) == {"low": None, "high": None}


def slow_design_effect(right: np.ndarray, groups: np.ndarray) -> float:
    """The jackknife over groups by leaving each out in turn, over the variance of independent rows."""
    names, rate, n = sorted(set(groups.tolist())), right.mean(), len(right)
    means = np.array([right[groups != name].mean() for name in names])
    variance = (len(names) - 1) / len(names) * ((means - means.mean()) ** 2).sum()
    return max(1.0, variance / (rate * (1 - rate) / n))


def test_design_effect_is_a_jackknife_over_groups() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 15, 80)
    right = rng.random(15)[groups] > 0.3
    assert right.mean() not in (0, 1)
    assert intervals.design_effect(right, groups) == pytest.approx(slow_design_effect(right, groups))
    assert intervals.design_effect(right, groups) > 2
    assert intervals.design_effect(right, np.arange(80)) == 1.0
    assert intervals.design_effect(np.ones(80, dtype=bool), groups) == 80 / 15


def test_a_rate_over_groups_is_wilson_of_fewer_rows_with_students_t() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, 60)
    right = (rng.random(12) > 0.4)[groups]
    count = len(set(groups.tolist()))
    n = 60 / slow_design_effect(right, groups)
    t, p = stats.t.ppf(0.975, count - 1), right.mean()
    centre, half = p + t * t / (2 * n), t * math.sqrt(p * (1 - p) / n + t * t / (4 * n * n))
    expected = (centre - half) / (1 + t * t / n), (centre + half) / (1 + t * t / n)
    assert intervals.rate(right, groups) == pytest.approx(expected)
    assert intervals.rate(right, np.arange(60)) == intervals.wilson(right.sum(), 60)
    assert intervals.rate(np.ones(60, dtype=bool), groups) == pytest.approx(intervals.wilson(count, count))
    assert intervals.rate(np.ones(0, dtype=bool), np.ones(0, dtype=int)) == (0.0, 1.0)


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
    assert (found["low"], found["high"]) == (None, None)  # every row's difference is 0.5: no spread, nothing known


def test_paired_of_nothing_is_undefined() -> None:
    found = intervals.paired(np.full(4, np.nan), np.ones(4))
    assert found["n"] == 0
    assert math.isnan(found["difference"])


def test_paired_statistic_takes_both_of_the_same_resample() -> None:
    values = np.random.default_rng(2).normal(size=50)
    found = intervals.paired_statistic(
        lambda w: (w @ (values + 1)) / w.sum(1), lambda w: (w @ values) / w.sum(1), 50, resamples=200
    )
    assert found["difference"] == pytest.approx(1.0)
    assert (found["low"], found["high"]) == (None, None), "the difference is the same in every resample"


@pytest.mark.parametrize("n", [1, 3, 137, 1000])
def test_the_interval_of_a_rate_of_0_or_1_ends_there_to_the_last_digit(n: int) -> None:
    assert intervals.wilson(n, n)[1] == 1.0
    assert intervals.wilson(0, n)[0] == 0.0


def test_two_samples_that_share_no_image_by_newcombes_method() -> None:
    """Newcombe 1998, table II (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339."""
    first, second = (
        {"value": k / n, "n": n, **dict(zip(("low", "high"), intervals.wilson(k, n), strict=True))}
        for k, n in ((56, 70), (48, 80))
    )
    found = intervals.independent(first, second)
    assert found["difference"] == pytest.approx(0.2)
    assert (round(found["low"], 4), round(found["high"], 4)) == (0.0524, 0.3339)
    turned = intervals.independent(second, first)
    assert (turned["low"], turned["high"]) == pytest.approx((-found["high"], -found["low"]))


def test_two_samples_of_which_one_says_nothing() -> None:
    known = {"value": 0.5, "n": 9, "low": 0.3, "high": 0.7}
    assert intervals.independent(known, {"value": None, "n": 0})["difference"] is None
    found = intervals.independent(known, {"value": 1.0, "n": 9, "low": None, "high": None})
    assert (found["difference"], found["low"], found["high"]) == (-0.5, None, None)
