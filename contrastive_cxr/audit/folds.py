"""Out-of-fold predictions: the model saw neither the row nor another image of its patient or group of copies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

FOLDS = 5
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Fit = Callable[[Ints, Ints], Floats]
"""From rows to fit on and rows to predict, class probabilities [M, classes] of the latter."""


def out_of_fold(fit: Fit, labels: Ints, owners: Ints, classes: int) -> Floats | None:
    """Class probabilities of every row, float64 [N, classes], by five folds that keep owners together.

    Parameters
    ----------
    fit : fits a model on the first rows and predicts the second ones
    labels : int64 [N], 0..classes-1
    owners : int64 [N]; rows with the same number stay in one fold

    Returns
    -------
    None if a class has fewer than two owners, or if there is only one class: then nothing can be predicted.
    """
    counts = [len(np.unique(owners[labels == number])) for number in range(classes)]
    folds = min(FOLDS, *counts, len(np.unique(owners)))
    if classes < 2 or folds < 2:
        return None
    found = np.zeros((len(labels), classes))
    deal = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    for train, test in deal.split(labels, labels, owners):
        found[test] = fit(train, test)
    return found


def area(probabilities: Floats, labels: Ints) -> float | None:
    """AUC of the second of two classes; with more classes the mean of one against the others; None if undefined."""
    there = [number for number in range(probabilities.shape[1]) if 0 < (labels == number).sum() < len(labels)]
    if len(there) < 2:
        return None
    if probabilities.shape[1] == 2:
        there = [1]
    areas = [roc_auc_score(labels == number, probabilities[:, number]) for number in there]
    return round(float(np.mean(areas)), 4)


def accuracy(probabilities: Floats, labels: Ints) -> float | None:
    """Share of rows whose most probable class is their label."""
    return round(float((probabilities.argmax(axis=1) == labels).mean()), 4) if len(labels) else None


def sample(n: int, most: int) -> Ints:
    """At most `most` of n rows, ascending, drawn with a fixed seed."""
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False)) if n > most else np.arange(n)
