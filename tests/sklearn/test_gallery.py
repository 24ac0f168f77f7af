"""The vote of neighbours, by hand; groups; the tools of scikit-learn."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

from contrastive_cxr.errors import RequestError
from contrastive_cxr.sklearn import GalleryClassifier

# On the unit circle, degrees; lengths differ, and do not count.
ANGLES, LENGTHS = np.array([0, 10, 20, 90, 100]), np.array([1, 5, 0.1, 2, 30])
LABELS = np.array([7, 7, 3, 3, 3])


def circle(degrees: np.ndarray, lengths: np.ndarray | float = 1.0) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles) * lengths, np.sin(angles) * lengths], axis=1)


def by_hand(query: float, allowed: list[int], k: int) -> np.ndarray:
    """Shares of the classes 3 and 7 by a loop over the rows."""
    near = sorted(allowed, key=lambda row: abs(ANGLES[row] - query))[:k]
    weights = {3: 0.0, 7: 0.0}
    for row in near:
        weights[int(LABELS[row])] += np.exp(np.cos(np.deg2rad(ANGLES[row] - query)) / 0.07)
    total = weights[3] + weights[7]
    return np.array([weights[3] / total, weights[7] / total])


def test_the_vote_is_that_of_a_loop() -> None:
    model = GalleryClassifier(k=3).fit(circle(ANGLES, LENGTHS), LABELS)
    assert model.classes_.tolist() == [3, 7]
    found = model.predict_proba(circle(np.array([12, 80]), 4.0))
    for row, query in enumerate((12, 80)):
        np.testing.assert_allclose(found[row], by_hand(query, [0, 1, 2, 3, 4], 3), rtol=1e-4)
    assert model.predict(circle(np.array([2, 95]))).tolist() == [7, 3]


def test_rows_of_the_querys_own_group_do_not_vote() -> None:
    model = GalleryClassifier(k=2).fit(circle(ANGLES), LABELS, groups=["a", "a", "b", None, float("nan")])
    found = model.predict_proba(circle(np.array([5, 5, 5])), groups=["a", "b", None])
    np.testing.assert_allclose(found[0], by_hand(5, [2, 3, 4], 2), rtol=1e-4)
    np.testing.assert_allclose(found[1], by_hand(5, [0, 1, 3, 4], 2), rtol=1e-4)
    np.testing.assert_allclose(found[2], by_hand(5, [0, 1, 2, 3, 4], 2), rtol=1e-4)


def test_it_goes_through_scikit_learns_tools() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(["ill", "well"], 20)
    vectors = circle(np.where(labels == "ill", 20, 60) + rng.normal(0, 15, 40))
    groups = np.tile(np.arange(10), 4)
    scores = cross_val_score(
        GalleryClassifier(k=5), vectors, labels, groups=groups, cv=GroupKFold(5), params={"groups": groups}
    )
    assert scores.shape == (5,)
    assert scores.mean() > 0.8
    search = GridSearchCV(GalleryClassifier(), {"k": [1, 7]}, cv=3, n_jobs=1).fit(vectors, labels)
    assert search.best_params_["k"] in (1, 7)
    fitted = search.best_estimator_
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict_proba(vectors), fitted.predict_proba(vectors))
    assert clone(fitted).get_params() == {"k": fitted.k, "kind": "auto"}
    assert not hasattr(clone(fitted), "gallery_")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"k": 0}, "k=0; give a whole number of at least 1"),
        ({"kind": "flat"}, "flat"),
        ({"y": [1, 2]}, "y has 2 labels and X 5 samples"),
        ({"groups": ["a"]}, "groups has 1 entries and X 5 samples"),
        ({"y": [1.0, 1.0, 2.0, np.nan, np.nan]}, r"in 2 places, first y\[3\]"),
        ({"X": np.zeros((5, 2))}, r"X\[0\] is a vector of zeros \(5 of 5\)"),
    ],
)
def test_wrong_input_is_told_with_both_numbers(change: dict[str, object], words: str) -> None:
    own = {name: change[name] for name in ("k", "kind") if name in change}
    given = {"X": circle(ANGLES), "y": LABELS} | {name: change[name] for name in ("X", "y", "groups") if name in change}
    with pytest.raises(ValueError, match=words) as caught:
        GalleryClassifier(**own).fit(**given)
    assert isinstance(caught.value, RequestError)


def test_vectors_of_another_size_are_refused() -> None:
    model = GalleryClassifier().fit(circle(ANGLES), LABELS)
    with pytest.raises(ValueError, match=r"3 features.*2 features"):
        model.predict(np.ones((1, 3)))
