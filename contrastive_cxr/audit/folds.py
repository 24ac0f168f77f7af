"""Predictions of rows by a model that saw neither them, nor another image of their patient or group of copies."""

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
"""Rows to fit on and rows to predict to class probabilities [M, classes]."""


def out_of_fold(fit: Fit, labels: Ints, owners: Ints, classes: int) -> Floats | None:
    """Class probabilities of every row, float64 [N, classes], by five folds that keep owners together.

    Parameters
    ----------
    fit : what predicts
    labels : int64 [N], 0..classes-1
    owners : int64 [N], rows with one number stay in one fold

    Returns
    -------
    None where a class has fewer than two owners, or there is one class: nothing can be told apart then.
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
    """AUC, float: of the second of two classes, else the mean of one against the others, over the classes there are."""
    there = [number for number in range(probabilities.shape[1]) if 0 < (labels == number).sum() < len(labels)]
    if len(there) < 2:
        return None
    if probabilities.shape[1] == 2:
        there = [1]
    areas = [roc_auc_score(labels == number, probabilities[:, number]) for number in there]
    return round(float(np.mean(areas)), 4)


def accuracy(probabilities: Floats, labels: Ints) -> float | None:
    """Share of rows whose most probable class is theirs."""
    return round(float((probabilities.argmax(axis=1) == labels).mean()), 4) if len(labels) else None


def sample(n: int, most: int) -> Ints:
    """At most `most` of n rows, ascending, drawn with a fixed seed."""
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False)) if n > most else np.arange(n)
