"""What is fitted on is never what it is applied to."""

from __future__ import annotations

import numpy as np

from contrastive_cxr.metrics.fitting import Validation, fits


def drawn(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    positive = generator.random(n)
    return np.column_stack([1 - positive, positive]), generator.integers(0, 2, n)


def test_validation_rows_are_fitted_on_and_all_scored_rows_get_the_result() -> None:
    probabilities, labels = drawn()
    kept = Validation(probabilities[:7], labels[:7])
    (found,) = fits(kept, probabilities, labels, np.arange(40))
    assert np.array_equal(found.probabilities, probabilities[:7])
    assert found.applied.tolist() == list(range(40))


def test_cross_fitting_keeps_patients_together_and_applies_to_each_row_once() -> None:
    probabilities, labels = drawn()
    owners = np.random.default_rng(1).integers(0, 11, 40)
    parts = fits(None, probabilities, labels, owners)
    assert len(parts) == 5
    assert sorted(np.concatenate([part.applied for part in parts]).tolist()) == list(range(40))
    for part in parts:
        others = np.setdiff1d(np.arange(40), part.applied)
        assert not set(owners[part.applied]) & set(owners[others])
        assert np.array_equal(part.probabilities, probabilities[others])
        assert np.array_equal(part.labels, labels[others])


def test_nothing_to_fit_on_gives_no_fit() -> None:
    probabilities, labels = drawn()
    assert fits(Validation(probabilities[:0], labels[:0]), probabilities, labels, np.arange(40)) == []
    assert fits(None, probabilities, labels, np.zeros(40, dtype=np.int64)) == []
