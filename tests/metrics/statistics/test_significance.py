"""McNemar's and DeLong's tests against counting, slow loops and a jackknife."""

from __future__ import annotations

from math import comb, erfc, sqrt

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics.statistics.significance import delong, mcnemar, placements


@pytest.mark.parametrize(("alone", "other"), [(9, 2), (2, 9), (5, 5), (0, 6), (0, 0), (1, 0)])
def test_mcnemar_is_the_binomial_sum(alone: int, other: int) -> None:
    first = np.array([True] * alone + [False] * other + [True] * 7 + [False] * 3)
    second = np.array([False] * alone + [True] * other + [True] * 7 + [False] * 3)
    n, few = alone + other, min(alone, other)
    want = min(1.0, 2 * sum(comb(n, k) for k in range(few + 1)) / 2**n)
    found = mcnemar(first, second)
    assert (found["only_first"], found["only_second"], found["n"]) == (alone, other, n + 10)
    assert found["p"] == pytest.approx(want)


def drawn(n: int = 40, levels: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two scores that share noise, and the truth; few `levels` make ties."""
    rng = np.random.default_rng(3)
    positive = rng.random(n) < 0.4
    shared = rng.normal(size=n)
    first = 1.2 * positive + shared + 0.5 * rng.normal(size=n)
    second = 0.6 * positive + shared + 0.5 * rng.normal(size=n)
    if levels:
        first, second = (np.round(score * levels / 4) for score in (first, second))
    return first, second, positive


@pytest.mark.parametrize("levels", [None, 3])
def test_placements_by_a_slow_loop(levels: int | None) -> None:
    score, _, positive = drawn(levels=levels)
    ups, downs = score[positive], score[~positive]
    beaten = [np.mean([(up > down) + 0.5 * (up == down) for down in downs]) for up in ups]
    beating = [np.mean([(up > down) + 0.5 * (up == down) for up in ups]) for down in downs]
    found = placements(score, positive)
    np.testing.assert_allclose(found[0], beaten)
    np.testing.assert_allclose(found[1], beating)


@pytest.mark.parametrize("levels", [None, 3])
def test_delong_by_its_formula(levels: int | None) -> None:
    """The covariance matrix of the paper, entry by entry from double loops over the pairs."""
    first, second, positive = drawn(levels=levels)
    kernels = []
    for score in (first, second):
        ups, downs = score[positive], score[~positive]
        kernels.append(np.array([[1.0 if up > down else 0.5 if up == down else 0.0 for down in downs] for up in ups]))
    areas = [kernel.mean() for kernel in kernels]
    m, n = kernels[0].shape
    matrix = np.zeros((2, 2))
    for r in range(2):
        for s in range(2):
            tens = sum((kernels[r][i].mean() - areas[r]) * (kernels[s][i].mean() - areas[s]) for i in range(m))
            ones = sum((kernels[r][:, j].mean() - areas[r]) * (kernels[s][:, j].mean() - areas[s]) for j in range(n))
            matrix[r, s] = tens / (m - 1) / m + ones / (n - 1) / n
    deviation = sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1])
    found = delong(first, second, positive)
    assert areas[0] == pytest.approx(roc_auc_score(positive, first))
    assert found["difference"] == pytest.approx(areas[0] - areas[1])
    assert found["z"] == pytest.approx((areas[0] - areas[1]) / deviation)
    assert found["p"] == pytest.approx(erfc(abs(found["z"]) / sqrt(2)))
    assert found["high"] - found["low"] == pytest.approx(2 * 1.959964 * deviation, rel=1e-6)


def test_delong_is_near_a_jackknife() -> None:
    """Leaving one image out at a time, class by class, gives nearly the same deviation: no formula shared."""
    first, second, positive = drawn(200)

    def gain(kept: np.ndarray) -> float:
        return float(roc_auc_score(positive[kept], first[kept]) - roc_auc_score(positive[kept], second[kept]))

    every = np.arange(len(positive))
    variance = 0.0
    for truth in (True, False):
        left = np.array([gain(every[every != row]) for row in np.flatnonzero(positive == truth)])
        variance += (len(left) - 1) / len(left) * ((left - left.mean()) ** 2).sum()
    found = delong(first, second, positive)
    assert found["difference"] / found["z"] == pytest.approx(sqrt(variance), rel=0.02)


def test_the_same_scores_do_not_differ() -> None:
    first, _, positive = drawn()
    found = delong(first, first, positive)
    assert (found["difference"], found["p"], found["z"]) == (0.0, 1.0, None)


def test_too_few_of_a_class_is_undefined() -> None:
    found = delong(np.arange(4.0), np.arange(4.0)[::-1], np.array([True, False, False, False]))
    assert found["p"] is None
    assert found["n"] == 4


def test_other_rows_are_refused() -> None:
    with pytest.raises(CcxrError, match="the same rows"):
        mcnemar(np.ones(3, dtype=bool), np.ones(4, dtype=bool))
