"""Statistics of weighted rows, a whole block of bootstrap resamples at a time.

Every function takes `weights` float64 [B, N], how often each of the N rows was drawn in each of B resamples, and
returns one value a resample; rows of ones give the plain statistic. What is undefined is nan, never a division by zero.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


def ratio(top: NDArray[Any], bottom: NDArray[Any]) -> Floats:
    """`top / bottom`, nan where `bottom` is 0; the two broadcast."""
    shape = np.broadcast_shapes(np.shape(top), np.shape(bottom))
    result: Floats = np.full(shape, np.nan)
    np.divide(top, bottom, out=result, where=np.broadcast_to(bottom, shape) > 0)
    return result


def confusions(labels: Ints, predicted: Ints, weights: Floats, classes: int) -> Floats:
    """Weighted confusion matrices, float64 [B, classes, classes]: rows are true, columns predicted."""
    cells = np.zeros((len(labels), classes * classes))
    cells[np.arange(len(labels)), labels * classes + predicted] = 1.0
    return (weights @ cells).reshape(-1, classes, classes)


def auc(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Area under the ROC curve by ranks, ties counted half (Mann-Whitney), float64 [B].

    Parameters
    ----------
    scores : float [N], higher for the positive class
    positive : bool [N]
    weights : float64 [B, N]; costs about four arrays of this size

    Returns
    -------
    float64 [B], nan where a resample lacks positive or negative rows.
    """
    if not len(scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    drawn, above = weights[:, order], positive[order]
    up = np.add.reduceat(drawn * above, starts, axis=1)
    down = np.add.reduceat(drawn * ~above, starts, axis=1)
    below = np.cumsum(down, axis=1) - down / 2
    return ratio((up * below).sum(1), up.sum(1) * down.sum(1))


def class_auc(probabilities: Floats, labels: Ints, weights: Floats) -> Floats:
    """One-vs-rest AUC of each class, float64 [B, C]; with two classes both are that of the second column."""
    classes = probabilities.shape[1]
    if classes == 2:  # one number, which rounding of 1 - p must not split in two
        return np.repeat(auc(probabilities[:, 1], labels == 1, weights)[:, None], 2, axis=1)
    return np.stack([auc(probabilities[:, c], labels == c, weights) for c in range(classes)], axis=1)


def macro(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """Mean of `values` [B, C] over the classes that have rows (`present` [B, C]); an undefined one counts as 0."""
    return ratio(np.where(present, np.nan_to_num(values), 0.0).sum(1), present.sum(1).astype(float))


def statistics(probabilities: Floats, labels: Ints, weights: Floats) -> dict[str, Floats]:
    """Every classification score in one pass over the resamples.

    Parameters
    ----------
    probabilities : float64 [N, C]
    labels : int64 [N], 0..C-1
    weights : float64 [B, N]

    Returns
    -------
    dict of float64 [B] (`accuracy`, `balanced_accuracy`, `macro_precision`, `macro_recall`, `macro_f1`, `auc`) and
    of float64 [B, C] (`precision`, `recall`, `f1`, `class_auc`). `auc` is the mean of the one-vs-rest AUCs, which
    with two classes are one and the same.
    """
    classes = probabilities.shape[1]
    table = confusions(labels, probabilities.argmax(1).astype(np.int64), weights, classes)
    hit, true, said = np.diagonal(table, axis1=1, axis2=2), table.sum(2), table.sum(1)
    present = true > 0
    recall, precision = ratio(hit, true), ratio(hit, said)
    f1 = np.where(present, ratio(2 * hit, true + said), np.nan)
    areas = class_auc(probabilities, labels, weights)
    return {
        "accuracy": ratio(hit.sum(1), true.sum(1)),
        "balanced_accuracy": macro(recall, present),
        "macro_precision": macro(precision, present),
        "macro_recall": macro(recall, present),
        "macro_f1": macro(f1, present),
        "auc": areas.mean(1),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "class_auc": areas,
    }
