"""The vote of the nearest vectors as a classifier of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from contrastive_cxr.sklearn.samples import InputError, as_input_errors, labels_of, names_of_groups

Vectors = npt.NDArray[np.float32]
FLOATS = (np.float32, np.float64)


class GalleryClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """k-NN over an embedding, with the vote of `ccxr evaluate --gallery`: weights exp(cosine / 0.07).

    The vectors come from `ImageEmbedder`, or from any other step; they are divided by their length here. `groups`
    (patients) of `fit` and of `predict` are the same people: rows of a query's own group do not vote for it.

    Parameters
    ----------
    k : int
        How many of the nearest rows vote, at least 1; with fewer rows all vote.
    kind : str
        Index of the gallery: `auto` by size, `exact`, `hnsw`, `ivf`, `ivf-pq`.

    Attributes
    ----------
    classes_ : array [C]
        Labels, sorted.
    gallery_ : Gallery
        The vectors and their rows; its labels are class numbers as text.
    n_features_in_ : int
        Dimensions of a vector.
    """

    def __init__(self, k: int = 20, *, kind: str = "auto") -> None:
        self.k = k
        self.kind = kind

    def fit(self, X: Any, y: Any, groups: Any = None) -> GalleryClassifier:
        """Keep the vectors, labels and groups.

        Parameters
        ----------
        X : float [N, D]
            Vectors, none of length 0.
        y : [N]
            Labels.
        groups : [N], optional
            Patients; None, NaN or '' where one is not known.

        Raises
        ------
        InputError
            Wrong parameters, or counts that differ.
        """
        from contrastive_cxr.retrieval import Gallery

        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or self.k < 1:
            raise InputError(f"k={self.k!r}; give a whole number of at least 1")
        vectors = _of_unit_length(validate_data(self, X, dtype=FLOATS))
        self.classes_, numbers = labels_of(y, len(vectors))
        patients = [""] * len(vectors) if groups is None else names_of_groups(groups, len(vectors))
        rows = pd.DataFrame({"label": numbers.astype(str), "patient": patients})
        with as_input_errors():
            self.gallery_ = Gallery.build(vectors, rows, kind=self.kind)
        return self

    def predict_proba(self, X: Any, groups: Any = None) -> npt.NDArray[np.float64]:
        """Class shares of the vote, float64 [Q, C], rows adding up to 1; equal shares where nobody may vote.

        Parameters
        ----------
        X : float [Q, D]
        groups : [Q], optional
            Each query's patient, whose own rows do not vote.
        """
        check_is_fitted(self, "gallery_")
        vectors = _of_unit_length(validate_data(self, X, dtype=FLOATS, reset=False))
        patients = None if groups is None else names_of_groups(groups, len(vectors))
        columns = [str(number) for number in range(len(self.classes_))]
        with as_input_errors():
            return self.gallery_.classify(vectors, columns, int(self.k), exclude_patients=patients)

    def predict(self, X: Any, groups: Any = None) -> npt.NDArray[Any]:
        """The label with the largest share, [Q]; parameters as of `predict_proba`."""
        shares = self.predict_proba(X, groups)
        return np.asarray(self.classes_[shares.argmax(axis=1)])


def _of_unit_length(vectors: npt.NDArray[Any]) -> Vectors:
    """float32 [N, D], each row divided by its length.

    Raises
    ------
    InputError
        A row of zeros, which has no direction.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True)  # first, so that squares neither vanish nor overflow
    empty = np.flatnonzero(largest == 0)
    if len(empty):
        raise InputError(
            f"X[{empty[0]}] is a vector of zeros ({len(empty)} of {len(vectors)}), which has no direction; leave it out"
        )
    scaled = vectors.astype(np.float64) / largest
    return np.asarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True), dtype=np.float32)
