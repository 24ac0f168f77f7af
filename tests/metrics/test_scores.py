"""Every score against scikit-learn on random data, and the small and undefined cases by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics import scores
from contrastive_cxr.metrics.statistics import intervals


def drawn(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Probabilities with ties (two decimals) that know the labels a little, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[labels]
    raw = np.exp(logits).round(1) + 0.1
    return raw / raw.sum(1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_scikit_learns(classes: int) -> None:
    probabilities, labels = drawn(200, classes)
    names = [f"c{c}" for c in range(classes)]
    found = scores.classification(probabilities, labels, names, positive=1, resamples=100)
    predicted = probabilities.argmax(1)
    value = {name: entry["value"] for name, entry in found["scores"].items()}
    assert value["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert value["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert value["macro_recall"] == pytest.approx(metrics.recall_score(labels, predicted, average="macro"))
    assert value["macro_precision"] == pytest.approx(metrics.precision_score(labels, predicted, average="macro"))
    assert value["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    given = probabilities[:, 1] if classes == 2 else probabilities
    assert value["auc"] == pytest.approx(metrics.roc_auc_score(labels, given, multi_class="ovr"))
    each = [metrics.average_precision_score(labels == c, probabilities[:, c]) for c in range(classes)]
    assert value["average_precision"] == pytest.approx(each[1] if classes == 2 else np.mean(each))
    assert value["brier"] == pytest.approx(
        metrics.brier_score_loss(labels, probabilities, scale_by_half=True, labels=list(range(classes)))
    )
    assert found["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()
    table = metrics.precision_recall_fscore_support(labels, predicted)
    for c, name in enumerate(names):
        row = found["per_class"][name]
        assert (row["precision"]["value"], row["recall"]["value"], row["f1"]["value"], row["n"]) == pytest.approx(
            tuple(column[c] for column in table)
        )
        assert row["average_precision"]["value"] == pytest.approx(each[c])
        assert row["auc"]["value"] == pytest.approx(metrics.roc_auc_score(labels == c, probabilities[:, c]), abs=1e-3)


@pytest.mark.parametrize("positive", [0, 1])
def test_two_classes_have_the_positive_class_by_name(positive: int) -> None:
    probabilities, labels = drawn(120, 2)
    found = scores.classification(probabilities, labels, ["a", "b"], positive, resamples=100)["scores"]
    predicted = probabilities.argmax(1)
    assert found["recall"]["value"] == pytest.approx(metrics.recall_score(labels, predicted, pos_label=positive))
    assert found["precision"]["value"] == pytest.approx(metrics.precision_score(labels, predicted, pos_label=positive))
    assert found["f1"]["value"] == pytest.approx(metrics.f1_score(labels, predicted, pos_label=positive))
    assert found["specificity"]["value"] == pytest.approx(
        metrics.recall_score(labels, predicted, pos_label=1 - positive)
    )
    assert found["recall"]["n"] == (labels == positive).sum()


def test_three_classes_have_no_positive_scores() -> None:
    probabilities, labels = drawn(60, 3)
    found = scores.classification(probabilities, labels, "abc", 2, resamples=100)["scores"]
    assert not {"precision", "recall", "specificity", "f1"} & set(found)


def test_intervals_are_a_slow_loop_of_the_same_resamples() -> None:
    probabilities, labels = drawn(60, 3)
    patients = np.random.default_rng(3).integers(-1, 20, 60)
    found = scores.classification(probabilities, labels, "abc", 2, patients, resamples=100, seed=4)
    slow: dict[str, list[float]] = {"auc": [], "macro_f1": [], "average_precision": [], "brier": [], "f1": []}
    numbers = intervals.group_numbers(patients, 60)
    for weights in np.concatenate(list(intervals.resampled(numbers, 100, seed=4))):
        rows = np.repeat(np.arange(60), weights.astype(int))
        truth, predicted = labels[rows], probabilities[rows].argmax(1)
        slow["brier"].append(metrics.brier_score_loss(truth, probabilities[rows], scale_by_half=True, labels=[0, 1, 2]))
        slow["average_precision"].append(metrics.average_precision_score(np.eye(3)[truth], probabilities[rows]))
        slow["auc"].append(metrics.roc_auc_score(truth, probabilities[rows], multi_class="ovr"))
        slow["macro_f1"].append(metrics.f1_score(truth, predicted, average="macro"))
        slow["f1"].append(metrics.f1_score(truth, predicted, average=None)[1])
    entries = {**found["scores"], "f1": found["per_class"]["b"]["f1"]}
    alike = 60**2 / (np.bincount(numbers) ** 2).sum()
    for name, values in slow.items():
        half = stats.t.ppf(0.975, alike - 1) * alike / (alike - 1) * np.std(values, ddof=1)
        value = entries[name]["value"]
        centre, width = np.log(value / (1 - value)), half / (value * (1 - value))
        expected = [1 / (1 + np.exp(-end)) for end in (centre - width, centre + width)]
        assert (entries[name]["low"], entries[name]["high"]) == pytest.approx(expected), name
    right = probabilities.argmax(1) == labels
    accuracy = found["scores"]["accuracy"]
    assert (accuracy["low"], accuracy["high"]) == intervals.rate(right, numbers)
    assert found["groups"] == len(set(numbers.tolist()))


def test_eight_of_nine() -> None:
    labels = np.array([1] * 9 + [0] * 4)
    probabilities = np.eye(2)[[1] * 8 + [0] * 5]
    found = scores.classification(probabilities, labels, ["no", "yes"], 1)["scores"]["recall"]
    assert (found["successes"], found["n"]) == (8, 9)
    assert found["value"] == pytest.approx(8 / 9)
    assert found["wilson"] == pytest.approx([0.565, 0.980], abs=5e-4)


def test_all_correct_still_has_an_uncertain_rate_counted_in_patients() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = scores.classification(np.eye(2)[labels], labels, ["a", "b"], 1, groups=np.array([0, 0, 0, 1, 1, 1]))
    accuracy = found["scores"]["accuracy"]
    assert (accuracy["low"], accuracy["high"]) == intervals.wilson(2, 2)
    assert accuracy["wilson"] == list(intervals.wilson(6, 6))
    assert found["scores"]["auc"]["value"] == 1.0
    assert 0 < found["scores"]["auc"]["low"] < 0.5, "two patients tell next to nothing"


def test_a_class_without_rows_is_undefined_with_a_reason() -> None:
    probabilities, labels = drawn(40, 2)
    wide = np.column_stack([probabilities, np.zeros(40)])
    found = scores.classification(wide, labels, ["a", "b", "none"], 1, resamples=100)
    assert found["scores"]["auc"]["value"] is None
    assert "none" in found["scores"]["auc"]["reason"]
    row = found["per_class"]["none"]
    assert all(row[name]["value"] is None and "none" in row[name]["reason"] for name in ("precision", "recall", "auc"))
    expected = metrics.balanced_accuracy_score(labels, probabilities.argmax(1))
    assert found["scores"]["balanced_accuracy"]["value"] == pytest.approx(expected)
    assert found["counts"]["none"] == 0


def test_one_class_only() -> None:
    found = scores.classification(np.full((3, 2), 0.5), np.ones(3, dtype=np.int64), ["a", "b"], 1, resamples=100)
    assert found["scores"]["auc"]["value"] is None
    assert found["scores"]["accuracy"]["value"] == 0.0
    assert found["scores"]["precision"]["reason"] == "no row was predicted as 'b'"


def test_no_rows_at_all() -> None:
    found = scores.classification(np.empty((0, 2)), np.empty(0, dtype=np.int64), ["a", "b"], 1)
    assert all(entry["value"] is None and entry["reason"] for entry in found["scores"].values())
    assert found["confusion"] == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("probabilities", "labels", "word"),
    [
        (np.ones((3, 2)), np.zeros(4), "shape"),
        (np.ones((3, 3)), np.zeros(3), "shape"),
        (np.array([[0.5, np.nan]]), np.zeros(1), "not finite"),
        (np.ones((2, 2)), np.array([0, 2]), "0 to 1"),
    ],
)
def test_wrong_arrays_are_named(probabilities: Any, labels: Any, word: str) -> None:
    with pytest.raises(CcxrError, match=word):
        scores.classification(probabilities, labels, ["a", "b"], 1)


def test_point_scores_are_those_with_intervals() -> None:
    probabilities, labels = drawn(50, 3)
    full = scores.classification(probabilities, labels, "abc", 2, resamples=100)["scores"]
    found = scores.point(probabilities.astype(np.float32), labels)
    assert set(found) == {"accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc"}
    values = {name.removeprefix("macro_"): entry["value"] for name, entry in full.items()}
    assert found == pytest.approx({name: values[name] for name in found}, rel=1e-3)
    assert np.isnan(scores.point(probabilities, np.zeros(50, dtype=np.int64))["auc"])


def test_by_patient_averages_known_patients_and_keeps_the_others() -> None:
    probabilities = np.array([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1], [0.1, 0.9], [0.3, 0.7]])
    labels = np.array([1, 1, 0, 1, 0])
    patients = np.array([5, 5, -1, -1, 5])  # patient 5 has two labels
    found, truth = scores.by_patient(probabilities, labels, patients)
    rows = sorted((round(float(p), 6), int(label)) for p, label in zip(found[:, 1], truth, strict=True))
    assert rows == [(0.1, 0), (0.6, 1), (0.7, 0), (0.9, 1)]


def test_paired_difference_of_two_models() -> None:
    better, labels = drawn(150, 3)
    worse = np.full_like(better, 1 / 3)
    found = scores.paired(better, worse, labels, resamples=200)
    assert found["auc"]["difference"] == pytest.approx(metrics.roc_auc_score(labels, better, multi_class="ovr") - 0.5)
    assert found["auc"]["low"] > 0
    same = scores.paired(better, better, labels, names=["accuracy"], resamples=100)
    assert (same["accuracy"]["difference"], same["accuracy"]["low"], same["accuracy"]["high"]) == (0, None, None)
    alone = scores.classification(better, labels, "abc", 2, resamples=100)["scores"]["macro_f1"]["value"]
    difference = scores.paired(better, worse, labels, names=["macro_f1"], resamples=100)["macro_f1"]["difference"]
    assert difference == pytest.approx(alone - metrics.f1_score(labels, worse.argmax(1), average="macro"))


def test_the_bound_of_a_mean_is_over_the_classes_that_the_mean_is_over() -> None:
    # no row of the second class, which was predicted once: macro precision is that of the first alone
    said, labels = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 0])
    found = scores.classification(said, labels, ["a", "b"], positive=1, resamples=50)["scores"]["macro_precision"]
    assert found["value"] == 1
    assert found["low"] < 1 == found["high"]
    # a class of which nothing was predicted counts as 0 in the mean and has no ends: neither has the mean
    said, labels, patients = np.array([[0.9, 0.1]] * 4), np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    found = scores.classification(said, labels, ["a", "b"], 1, patients, resamples=50)["scores"]["macro_precision"]
    assert (found["value"], found["low"], found["high"]) == (0.25, None, None)
