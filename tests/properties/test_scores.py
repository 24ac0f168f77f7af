"""Scores of any classifier on any labels: scikit-learn's numbers, bounds, what does not change them, intervals."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics

from contrastive_cxr.metrics import calibration, scores, selective
from contrastive_cxr.metrics.statistics import intervals, significance, weighted


class PhasePredictions(NamedTuple):
    """Probabilities [N, C] with many ties, and labels."""

    probabilities: Any
    labels: Any


@st.composite
def answers(draw: st.DrawFn, least: int = 1, classes: int | None = None) -> PhasePredictions:
    """1 to 30 rows of 2 to 4 classes."""
    count, width = draw(st.integers(least, 30)), classes or draw(st.integers(2, 4))
    eighths = draw(st.lists(st.integers(1, 8), min_size=count * width, max_size=count * width))
    raw = np.array(eighths, dtype=np.float64).reshape(count, width)
    labels = draw(st.lists(st.integers(0, width - 1), min_size=count, max_size=count))
    return PhasePredictions(raw / raw.sum(1, keepdims=True), np.array(labels))


def ones(count: int) -> Any:
    return np.ones((1, count))


@given(answers())
def test_points_are_scikit_learns(said: PhasePredictions) -> None:
    width = said.probabilities.shape[1]
    found, predicted = scores.point(said.probabilities, said.labels), said.probabilities.argmax(1)
    present = sorted(set(said.labels.tolist()))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(said.labels, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = metrics.precision_recall_fscore_support(said.labels, predicted, labels=present, zero_division=0)
    expected = [float(np.mean(column)) for column in table[:3]]
    assert [found["precision"], found["recall"], found["f1"]] == pytest.approx(expected)
    assert found["balanced_accuracy"] == pytest.approx(expected[1])
    if len(present) == width:
        given_ = said.probabilities[:, 1] if width == 2 else said.probabilities
        assert found["auc"] == pytest.approx(metrics.roc_auc_score(said.labels, given_, multi_class="ovr"))
    else:
        assert np.isnan(found["auc"])


@given(answers(), st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_that_of_classes_matters(said: PhasePredictions, rng: Any) -> None:
    rows, classes = np.arange(len(said.labels)), np.arange(said.probabilities.shape[1])
    rng.shuffle(rows)
    rng.shuffle(classes)
    first = scores.point(said.probabilities, said.labels)
    assert scores.point(said.probabilities[rows], said.labels[rows]) == pytest.approx(first, nan_ok=True)
    top = np.sort(said.probabilities, axis=1)
    assume((top[:, -1] > top[:, -2]).all())  # of equal classes the first is taken, which a new order changes
    renamed = scores.point(said.probabilities[:, classes], np.argsort(classes)[said.labels])
    assert renamed == pytest.approx(first, nan_ok=True)


@given(answers(classes=2))
def test_an_auc_knows_ranks_alone(said: PhasePredictions) -> None:
    positive, column = said.labels == 1, said.probabilities[:, 1]
    area = weighted.auc(column, positive, ones(len(column)))
    levels = np.unique(column, return_inverse=True)[1].astype(np.float64)
    for transformed in (levels, levels**3 - 5, 1e6 * levels, np.exp(levels)):
        np.testing.assert_allclose(weighted.auc(transformed, positive, ones(len(column))), area)
    np.testing.assert_allclose(weighted.auc(-column, positive, ones(len(column))), 1 - area)
    np.testing.assert_allclose(weighted.auc(-column, ~positive, ones(len(column))), area)
    if positive.any():
        precision = weighted.average_precision(column, positive, ones(len(column)))
        np.testing.assert_allclose(precision, metrics.average_precision_score(positive, column))


@given(answers(classes=2), st.data())
def test_a_weight_is_so_many_copies(said: PhasePredictions, data: st.DataObject) -> None:
    column, positive = said.probabilities[:, 1], said.labels == 1
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(column), max_size=len(column))))
    assume(times.sum() > 0)
    copied = np.repeat(np.arange(len(column)), times)
    by_weight = weighted.ranking(column, positive, times[None].astype(np.float64))
    by_copies = weighted.ranking(column[copied], positive[copied], ones(len(copied)))
    np.testing.assert_allclose(by_weight, by_copies)


@given(answers(), st.integers(0, 100))
def test_values_are_in_bounds_and_inside_their_intervals(said: PhasePredictions, seed: int) -> None:
    width = said.probabilities.shape[1]
    patients = np.random.default_rng(seed).integers(-1, 6, len(said.labels))
    names = [f"c{number}" for number in range(width)]
    found = scores.classification(said.probabilities, said.labels, names, 1, patients, resamples=40, seed=seed)
    entries = [*found["scores"].items()]
    entries += [
        (f"{name} {each}", found["per_class"][name][each]) for name in names for each in ("f1", "auc", "recall")
    ]
    for name, entry in entries:
        if entry["value"] is None:
            assert entry["reason"], name
            continue
        assert -1e-12 <= entry["value"] <= 1 + 1e-12, name
        if entry["low"] is not None:
            assert 0 <= entry["low"] <= entry["value"] + 1e-9, f"{name}: {entry}"
            assert entry["value"] - 1e-9 <= entry["high"] <= 1, f"{name}: {entry}"
    table = np.array(found["confusion"])
    assert table.sum() == len(said.labels)
    assert table.sum(1).tolist() == np.bincount(said.labels, minlength=width).tolist()


@given(answers())
def test_what_is_always_right_scores_1(said: PhasePredictions) -> None:
    sure = np.eye(said.probabilities.shape[1])[said.labels]
    for name, value in scores.point(sure, said.labels).items():
        assert np.isnan(value) or value == pytest.approx(1), name


@given(answers(), st.integers(0, 100))
def test_patients_are_means_of_their_images(said: PhasePredictions, seed: int) -> None:
    patients = np.random.default_rng(seed).integers(-1, 5, len(said.labels))
    means, labels = scores.by_patient(said.probabilities, said.labels, patients)
    np.testing.assert_allclose(means.sum(1), 1)
    known = {pair for pair in zip(patients.tolist(), said.labels.tolist(), strict=True) if pair[0] >= 0}
    assert len(labels) == len(known) + int((patients < 0).sum())
    expected = sorted(
        [*said.probabilities[(patients == who) & (said.labels == label)].mean(0).round(9).tolist(), label]
        for who, label in known
    )
    expected += [[*row.round(9).tolist(), label] for row, label, who in zip(*said, patients, strict=True) if who < 0]
    found = [[*row.round(9).tolist(), label] for row, label in zip(means, labels, strict=True)]
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=1e-8)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_rates_interval_holds_the_rate(right: int, wrong: int) -> None:
    low, high = intervals.wilson(right, right + wrong)
    assert 0 <= low <= high <= 1
    if right + wrong:
        assert low <= right / (right + wrong) <= high
        mirrored = intervals.wilson(wrong, right + wrong)
        assert mirrored == pytest.approx((1 - high, 1 - low))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40))
def test_groups_never_narrow_a_rates_interval(rows: list[tuple[bool, int]]) -> None:
    right, groups = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    assert intervals.design_effect(right, groups) >= 1
    low, high = intervals.rate(right, groups)
    plain = intervals.wilson(int(right.sum()), len(right))
    assert 0 <= low <= right.mean() <= high <= 1
    assert high - low >= plain[1] - plain[0] - 1e-9


@given(answers(classes=2), st.data())
def test_two_classifiers_compare_alike_from_both_sides(said: PhasePredictions, data: st.DataObject) -> None:
    other = np.array(data.draw(st.permutations(said.probabilities[:, 1].tolist())))
    first, second, positive = said.probabilities[:, 1], other, said.labels == 1
    pairs = ((first > 0.5, second > 0.5), (second > 0.5, first > 0.5))
    there, back = (significance.mcnemar(*pair) for pair in pairs)
    assert there["p"] == pytest.approx(back["p"])
    assert 0 <= there["p"] <= 1 + 1e-12
    assume(1 < positive.sum() < len(positive) - 1)
    there, back = significance.delong(first, second, positive), significance.delong(second, first, positive)
    assert there["difference"] == pytest.approx(-back["difference"])
    area = metrics.roc_auc_score(positive, first) - metrics.roc_auc_score(positive, second)
    assert there["difference"] == pytest.approx(area)


@given(answers())
def test_calibration_and_rejection_keep_their_bounds(said: PhasePredictions) -> None:
    trust, right = said.probabilities.max(1), said.probabilities.argmax(1) == said.labels
    assert 0 <= calibration.expected_error(trust, right, ones(len(right)))[0] <= 1
    assert 0 <= selective.area(trust, right, ones(len(right)))[0] <= 1
    warm = calibration.temperature(said.probabilities, said.labels)
    scaled = calibration.scale(said.probabilities, warm)
    np.testing.assert_allclose(scaled.sum(1), 1)
    assert (scaled.argmax(1) == said.probabilities.argmax(1)).all(), "a temperature changes no decision"
