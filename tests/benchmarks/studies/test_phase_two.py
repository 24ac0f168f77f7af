"""The study of phase 2: differences of means over seeds, worked out by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from benchmarks.studies import phase_two
from contrastive_cxr import recipe as recipes


def test_differences_are_those_of_the_means_over_seeds() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    first, second = (
        [raw / raw.sum(1, keepdims=True) for raw in rng.random((3, 90, 3)) + weight * np.eye(3)[labels]]
        for weight in (0.4, 0.2)
    )
    found = phase_two.added(first, second, labels, np.full(90, -1), ("accuracy", "auc"))
    accuracy = [np.mean([metrics.accuracy_score(labels, each.argmax(1)) for each in side]) for side in (first, second)]
    areas = [np.mean([metrics.roc_auc_score(labels, each, multi_class="ovr") for each in s]) for s in (first, second)]
    assert found["accuracy"]["difference"] == pytest.approx(accuracy[0] - accuracy[1])
    assert found["auc"]["difference"] == pytest.approx(areas[0] - areas[1])
    assert found["auc"]["low"] < found["auc"]["difference"] < found["auc"]["high"]


def test_every_row_is_a_recipe_that_differs_from_the_first() -> None:
    names = [row.name for row in phase_two.ROWS]
    assert len(set(names)) == len(names)
    base, *others = (recipes.load(phase_two.RECIPE, [*row.changes, "data.root=nowhere"]) for row in phase_two.ROWS)
    assert all(other != base for other in others)
