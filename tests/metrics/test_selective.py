"""Risk against coverage, by a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from contrastive_cxr.metrics import selective


def drawn(n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    trust = generator.random(n).round(1)  # with ties
    return trust, generator.random(n) < 0.3 + 0.7 * trust


def slow_area(trust: np.ndarray, right: np.ndarray) -> float:
    risks = [(~right[trust >= each]).mean() for each in trust]
    return float(np.mean(risks))


def test_area_is_the_slow_loop_over_repeated_rows() -> None:
    trust, right = drawn()
    weights = np.random.default_rng(1).integers(0, 3, (5, 50)).astype(float)
    for row, found in zip(weights, selective.area(trust, right, weights), strict=True):
        rows = np.repeat(np.arange(50), row.astype(int))
        assert found == pytest.approx(slow_area(trust[rows], right[rows]))


def test_curve_ends_with_the_accuracy_of_all_and_takes_ties_at_once() -> None:
    trust, right = drawn()
    points = selective.curve(trust, right)
    assert points[-1] == [1.0, round(float(right.mean()), 4)]
    assert len(points) == len(set(trust.tolist()))
    assert points[0] == pytest.approx([(trust == trust.max()).mean(), right[trust == trust.max()].mean()], abs=1e-4)


def test_report_keeps_the_most_trusted() -> None:
    trust, right = np.arange(20) / 20, np.array([False] * 6 + [True] * 14)
    found = selective.report({"confidence": trust, "blind": np.zeros(20)}, right, resamples=100)
    kept = {line["coverage"]: line["accuracy"] for line in found["by"]["confidence"]["kept"]}
    assert (kept[1.0]["successes"], kept[1.0]["n"]) == (14, 20)
    assert (kept[0.9]["successes"], kept[0.9]["n"]) == (14, 18)
    assert (kept[0.7]["successes"], kept[0.7]["n"]) == (14, 14)
    assert kept[0.5]["value"] == 1.0
    tied = {line["accuracy"]["n"] for line in found["by"]["blind"]["kept"]}
    assert tied == {20}, "no order of the rows breaks a tie"
    assert found["random"] == pytest.approx(0.3)
    assert found["by"]["blind"]["area"]["value"] == pytest.approx(0.3), "equal trust is kept at once"
    assert found["by"]["confidence"]["area"]["value"] == pytest.approx(found["ideal"])
    assert found["ideal"] == pytest.approx(np.mean([max(0, k - 14) / k for k in range(1, 21)]))


def test_no_rows_no_report() -> None:
    assert selective.report({"confidence": np.empty(0)}, np.empty(0, dtype=bool)) is None
