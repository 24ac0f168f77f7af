"""Bounds of scores without an error: never a width of 0."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.metrics import scores
from contrastive_cxr.metrics.statistics import perfect


def hanley_mcneil(area: float, positives: int, negatives: int) -> float:
    """Variance of an AUC (Hanley and McNeil 1982), both counts taken as their mean in the correction terms."""
    other = (positives + negatives) / 2
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    top = area * (1 - area) + (other - 1) * (first - area**2) + (other - 1) * (second - area**2)
    return top / (positives * negatives)


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (9, 9), (9, 200), (58, 60)])
def test_the_bound_of_an_auc_is_two_of_its_own_standard_errors_from_one(positives: int, negatives: int) -> None:
    found = perfect.auc_bound(positives, negatives)
    error = hanley_mcneil(found, positives, negatives) ** 0.5
    assert (1 - found) / error == pytest.approx(1.959964, rel=1e-4)
    assert 0 < found < 1


def test_an_auc_of_one_counts_patients() -> None:
    labels = np.array([0] * 12 + [1] * 12)
    patients = np.arange(24) // 3
    given = np.eye(2)[labels]
    alone = scores.classification(given, labels, ["a", "b"], 1, resamples=100)["scores"]["auc"]
    grouped = scores.classification(given, labels, ["a", "b"], 1, patients, resamples=100)["scores"]["auc"]
    assert (alone["value"], alone["high"], alone["low"]) == (1.0, 1.0, perfect.auc_bound(12, 12))
    assert grouped["low"] == perfect.auc_bound(4, 4) < alone["low"]
    assert grouped["bound"]
    other = scores.classification(given[:, ::-1], labels, ["a", "b"], 1, resamples=100)["scores"]["auc"]
    assert (other["value"], other["low"], other["high"]) == (0.0, 0.0, 1 - perfect.auc_bound(12, 12))


def test_means_and_f1_have_the_ends_of_their_parts() -> None:
    labels = np.array([0] * 9 + [1] * 5)
    found = scores.classification(np.eye(2)[labels], labels, ["a", "b"], 1, resamples=100)
    lows = [found["per_class"][name]["recall"]["low"] for name in ("a", "b")]
    assert found["scores"]["balanced_accuracy"]["low"] == pytest.approx(np.mean(lows))
    row = found["per_class"]["b"]
    assert row["f1"]["low"] == pytest.approx(
        2 * row["recall"]["low"] * row["precision"]["low"] / (row["recall"]["low"] + row["precision"]["low"])
    )
    assert found["scores"]["average_precision"]["low"] is None, "nothing is known of it, and nothing is said"
