"""Scores under benign changes against a slow loop with scikit-learn and an own bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics import robustness, scores
from contrastive_cxr.metrics.robustness import Case
from contrastive_cxr.metrics.statistics import intervals

CASES = (
    *(Case("crop", number, 5.0 * number, "%", "crop", f"a {5 * number} % crop") for number in (1, 2, 3)),
    *(Case("noise", number, float(number), "%", "noise", f"noise of {number} %") for number in (1, 2, 3)),
    Case("equalise", 1, None, "", "equalised", "equalised"),
)


def drawn(n: int = 90, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Clean [n, C] and corrupted [7, n, C] probabilities, labels, patients; crops are the worse the larger."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, n)
    raw = rng.random((n, classes)) + 0.8 * np.eye(classes)[labels]
    harm = (0.2, 0.5, 0.9, 0.05, 0.1, 0.15, 0.0)
    changed = np.stack([(1 - each) * raw + each * rng.random((n, classes)) for each in harm])
    clean = raw / raw.sum(1, keepdims=True)
    return clean, changed / changed.sum(2, keepdims=True), labels, rng.integers(-1, 25, n)


def by_sklearn(said: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    area = roc_auc_score(labels, said, multi_class="ovr") if said.shape[1] > 2 else roc_auc_score(labels, said[:, 1])
    decided = said.argmax(1)
    return {
        "accuracy": accuracy_score(labels, decided),
        "balanced_accuracy": balanced_accuracy_score(labels, decided),
        "auc": area,
    }


@pytest.mark.parametrize("classes", [2, 3])
def test_values_means_and_the_worst_are_those_of_a_slow_loop(classes: int) -> None:
    clean, corrupted, labels, patients = drawn(classes=classes)
    found = robustness.report(clean, corrupted, labels, CASES, patients, resamples=100)
    want = {"clean": by_sklearn(clean, labels)}
    cases = [by_sklearn(each, labels) for each in corrupted]
    for name in robustness.SCORES:
        assert found["clean"][name]["value"] == pytest.approx(want["clean"][name])
        means = []
        for change, numbers in zip(found["changes"], ([0, 1, 2], [3, 4, 5], [6]), strict=True):
            values = [cases[number][name] for number in numbers]
            lines = change["severities"]
            np.testing.assert_allclose([line["scores"][name]["value"] for line in lines], values)
            gaps = [line["difference"][name]["difference"] for line in lines]
            np.testing.assert_allclose(gaps, np.array(values) - want["clean"][name])
            assert change["mean"]["scores"][name]["value"] == pytest.approx(np.mean(values))
            means.append(np.mean(values))
        assert found["mean"]["scores"][name]["value"] == pytest.approx(np.mean(means))
        drop = np.mean(means) - want["clean"][name]
        assert found["mean"]["difference"][name]["difference"] == pytest.approx(drop)
    assert (found["worst"]["name"], found["worst_case"]["words"]) == ("crop", "a 15 % crop")
    assert found["worst"]["scores"]["accuracy"]["value"] == pytest.approx(np.mean([c["accuracy"] for c in cases[:3]]))


def test_intervals_are_those_of_each_score_by_itself() -> None:
    clean, corrupted, labels, patients = drawn()
    found = robustness.report(clean, corrupted, labels, CASES, patients, resamples=300)
    alone = scores.classification(corrupted[1], labels, ("a", "b", "c"), 1, patients, resamples=300)["scores"]
    line = found["changes"][0]["severities"][1]
    for name in robustness.SCORES:
        for end in ("low", "high"):
            assert line["scores"][name][end] == pytest.approx(alone[name][end])
    assert line["scores"]["accuracy"]["successes"] == int((corrupted[1].argmax(1) == labels).sum())
    paired = scores.paired(corrupted[1], clean, labels, patients, resamples=300)
    for name, entry in line["difference"].items():
        assert entry == pytest.approx(paired[name])


def test_the_interval_of_a_mean_is_a_bootstrap_of_the_mean() -> None:
    clean, corrupted, labels, patients = drawn()
    found = robustness.report(clean, corrupted, labels, CASES, patients, resamples=2000)
    right = np.stack([each.argmax(1) == labels for each in (clean, *corrupted)]).astype(float)
    gap = right[1:4].mean(0) - right[0]
    owners = intervals.group_numbers(patients, len(labels))
    rng, draws = np.random.default_rng(8), []
    for _ in range(2000):
        rows = np.concatenate(
            [np.flatnonzero(owners == who) for who in rng.integers(0, owners.max() + 1, owners.max() + 1)]
        )
        draws.append(gap[rows].mean())
    alike = intervals.effective(owners)
    half = intervals.t_quantile(alike) * alike / (alike - 1) * np.std(draws, ddof=1)
    entry = found["changes"][0]["mean"]["difference"]["accuracy"]
    assert entry["difference"] == pytest.approx(gap.mean())
    assert (entry["high"] - entry["low"]) / 2 == pytest.approx(half, rel=0.08)


def test_a_change_that_changes_nothing_has_no_interval_and_a_missing_class_no_auc() -> None:
    clean, corrupted, labels, _ = drawn()
    corrupted[6] = clean
    found = robustness.report(clean, corrupted, labels, CASES, resamples=100)
    assert found["changes"][2]["mean"]["difference"]["accuracy"] == {
        "difference": 0.0,
        "low": None,
        "high": None,
        "n": 90,
    }
    kept = labels < 2
    found = robustness.report(clean[kept], corrupted[:, kept], labels[kept], CASES, resamples=100)
    assert found["mean"]["scores"]["auc"]["value"] is None
    assert found["mean"]["difference"]["auc"]["difference"] is None
    assert found["mean"]["scores"]["accuracy"]["value"] > 0


def test_shapes_and_numbers_that_cannot_be_are_refused() -> None:
    clean, corrupted, labels, _ = drawn()
    with pytest.raises(CcxrError, match=r"shape \[6, 90, 3\].*need \[7, 90, 3\]"):
        robustness.report(clean, corrupted[:6], labels, CASES)
    corrupted[3, 5] = np.nan
    with pytest.raises(CcxrError, match="not finite under noise of 1 %"):
        robustness.report(clean, corrupted, labels, CASES)
