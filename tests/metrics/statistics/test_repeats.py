"""Means over runs, against scikit-learn and a slow bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from contrastive_cxr.metrics.statistics.repeats import mean_scores


def drawn(rows: int = 60, runs: int = 3) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, rows)
    positive = [generator.normal(labels, 1.5) for _ in range(runs)]
    shares = [1 / (1 + np.exp(-each)) for each in positive]
    return [np.stack([1 - each, each], 1) for each in shares], labels, generator.integers(0, 20, rows)


def area(labels: np.ndarray, said: np.ndarray) -> float:
    """Share of pairs in the right order; continuous scores, copies of a row count half."""
    gaps = said[labels == 1][:, None] - said[labels == 0]
    return float((gaps > 0).mean() + 0.5 * (gaps == 0).mean())


def test_means_are_those_of_scikit_learn() -> None:
    probabilities, labels, _ = drawn()
    found = mean_scores(probabilities, labels, resamples=50)
    assert found["auc"]["mean"] == pytest.approx(
        np.mean([metrics.roc_auc_score(labels, each[:, 1]) for each in probabilities])
    )
    assert found["macro_f1"]["mean"] == pytest.approx(
        np.mean([metrics.f1_score(labels, each.argmax(1), average="macro") for each in probabilities])
    )


def test_the_interval_draws_patients_and_the_same_ones_for_every_run() -> None:
    probabilities, labels, patients = drawn()
    found = mean_scores(probabilities, labels, patients, resamples=4000)["auc"]
    generator, means = np.random.default_rng(1), []
    for _ in range(1500):
        rows = np.concatenate([np.flatnonzero(patients == p) for p in generator.integers(0, 20, 20)])
        if len(set(labels[rows])) == 2:
            means.append(np.mean([area(labels[rows], each[rows, 1]) for each in probabilities]))
    alike = 60**2 / (np.unique(patients, return_counts=True)[1] ** 2).sum()
    half = stats.t.ppf(0.975, alike - 1) * alike / (alike - 1) * np.std(means)
    centre, width = np.log(found["mean"] / (1 - found["mean"])), half / (found["mean"] * (1 - found["mean"]))
    for name, end in (("low", centre - width), ("high", centre + width)):
        assert found[name] == pytest.approx(1 / (1 + np.exp(-end)), abs=0.015)


def test_one_class_leaves_the_auc_undefined() -> None:
    probabilities, labels, _ = drawn()
    found = mean_scores(probabilities, np.ones_like(labels), resamples=20)["auc"]
    assert found == {"mean": None, "low": None, "high": None}
