"""scikit-learn's own checks of an estimator, as far as images allow, and which of them do not apply.

The checks hand over tables of numbers. `GalleryClassifier` takes tables of vectors and is checked as it is. The
estimators of images are checked through subclasses that make a picture of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from contrastive_cxr.sklearn import ContrastiveClassifier, GalleryClassifier, ImageEmbedder
from tests.retrieval.test_embedding import write
from tests.sklearn.test_contrastive import SMALL

ANY_SIZE = "images of any size are taken, so there is no number of features to keep or to compare"
NO_TABLE = "asks for the words of an error about a table; images are refused with a sentence about images"
OF_GALLERY = {"check_estimators_dtypes": "has a row of zeros, which has no direction: it is refused"}
OF_EMBEDDER = {
    "check_n_features_in_after_fitting": ANY_SIZE,
    "check_n_features_in": ANY_SIZE,
    "check_transformer_general": ANY_SIZE,
    "check_complex_data": NO_TABLE,
    "check_estimators_empty_data_messages": NO_TABLE,
    "check_dtype_object": "hands over a table of objects, which are no images; a column of paths is taken",
}
OF_CONTRASTIVE = {"check_n_features_in_after_fitting": ANY_SIZE}


def as_pictures(table: Any) -> Any:
    """A table float [N, F] as pictures [N, 1, 1, F] in 0..1, each number by itself; anything else as it is."""
    if hasattr(table, "tocsr") or getattr(np.asarray(table), "ndim", 0) != 2:
        return table
    values = np.asarray(table)
    if values.dtype.kind not in "fiu":
        return values
    squeezed = np.where(np.isinf(values), values, 1 / (1 + np.exp(-values.astype(np.float64))))
    return squeezed[:, None, None]


class EmbedderOfRows(ImageEmbedder):
    def fit(self, X: Any, y: Any = None) -> EmbedderOfRows:
        super().fit(as_pictures(X), y)
        return self

    def transform(self, X: Any) -> Any:
        return super().transform(as_pictures(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


class ContrastiveOfRows(ContrastiveClassifier):
    def fit(self, X: Any, y: Any = None, groups: Any = None) -> ContrastiveOfRows:
        super().fit(as_pictures(X), y, groups)
        return self

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(as_pictures(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


def check(estimator: Any, expected: Mapping[str, str], legacy: bool = True) -> None:
    """All checks pass but the expected ones, and each of those fails: the list is no longer than it has to be."""
    found = check_estimator(estimator, legacy=legacy, expected_failed_checks=dict(expected), on_fail=None, on_skip=None)
    assert len(found) > 10
    failed = {each["check_name"]: repr(each["exception"]) for each in found if each["status"] == "failed"}
    assert not failed
    assert {each["check_name"] for each in found if each["status"] == "xfail"} == set(expected)


def test_the_vote_of_a_gallery() -> None:
    check(GalleryClassifier(), OF_GALLERY)


def test_the_embedder(tmp_path: Path) -> None:
    write(tmp_path / "embed")
    check(EmbedderOfRows(str(tmp_path)), OF_EMBEDDER)


@pytest.mark.slow
def test_the_classifier_that_trains() -> None:
    """The checks of the interface; the others train some two hundred networks."""
    settings = [*SMALL, "pretrain.epochs=1"]
    check(ContrastiveOfRows("phantom", settings, device="cpu", validation=0.3), OF_CONTRASTIVE, legacy=False)
