from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from contrastive_cxr.retrieval import index as indexes
from contrastive_cxr.retrieval import measure
from tests.retrieval.clusters import slow, vectors


def test_own_distances_are_to_the_nearest_of_another_patient() -> None:
    known = vectors(40, 0)
    patients = np.arange(40) // 2
    patients[:6] = -1
    nearest = []
    for row in range(40):
        others = (np.arange(40) != row) & ((patients != patients[row]) | (patients < 0))
        nearest.append(float(np.linalg.norm(known[slow(known, known[row], others, 1)[0]] - known[row])))
    found = measure.familiar(known, patients)
    assert found is not None
    assert found.n == 40
    np.testing.assert_allclose(found.quantiles, np.quantile(nearest, np.linspace(0, 1, 101)), atol=1e-6)


def test_percentiles_are_shares_of_the_gallerys_own() -> None:
    own = np.random.default_rng(0).gamma(2, size=5000)
    familiar = measure.Familiar(n=5000, quantiles=tuple(np.quantile(own, np.linspace(0, 1, 101)).tolist()))
    asked = np.array([0.0, 0.2, 1.0, 3.0, 100.0], np.float32)
    expected = [stats.percentileofscore(own, value) for value in asked]
    np.testing.assert_allclose(familiar.percentile(asked), expected, atol=1)
    copies = measure.Familiar(n=3, quantiles=(0.0,) * 101)
    assert copies.percentile(np.array([0.0, 0.1], np.float32)).tolist() == [100.0, 100.0]


@pytest.mark.parametrize("patients", [[-1], [3, 3]])
def test_a_gallery_without_two_that_count_has_none(patients: list[int]) -> None:
    assert measure.familiar(vectors(len(patients), 0), np.array(patients)) is None


def test_recall_is_counted_and_the_effort_raised() -> None:
    known = vectors(900, 0)
    index = indexes.build("ivf", known)
    index.effort = 1
    found = measure.tune(index, known)
    assert found is not None
    assert index.effort > 1
    assert found.value >= 0.95
    rows = measure.sample(900)
    hits = 0
    for row in rows[:60]:
        others = np.arange(900) != row
        true = set(slow(known, known[row], others, 10))
        near = index.nearest(known, known[row : row + 1], 11)[0]
        hits += len(true & set(near.tolist()))
    assert hits / 600 == pytest.approx(found.value, abs=0.04)


def test_a_large_gallery_is_sampled() -> None:
    assert len(measure.sample(3000)) == 3000
    assert len(measure.sample(1_000_000)) == 500
    assert (np.diff(measure.sample(100_000)) > 0).all()
