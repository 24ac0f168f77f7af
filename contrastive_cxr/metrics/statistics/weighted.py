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
    """Area under the ROC curve, float64 [B]; parameters as in `ranking`."""
    return ranking(scores, positive, weights)[0]


def average_precision(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Average precision, float64 [B]; parameters as in `ranking`."""
    return ranking(scores, positive, weights)[1]


def ranking(scores: Floats, positive: NDArray[np.bool_], weights: Floats) -> tuple[Floats, Floats]:
    """Area under the ROC curve and average precision, in one pass by falling score.

    The AUC is by ranks, ties counted half (Mann-Whitney); the average precision is the mean of the precision at each
    positive row, ties as one step.

    Parameters
    ----------
    scores : float [N], higher for the positive class
    positive : bool [N]
    weights : float64 [B, N]; costs about six arrays of this size

    Returns
    -------
    (float64 [B], float64 [B]); nan where a resample lacks positive rows, the AUC also where it lacks others.
    """
    if not len(scores):
        return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    order = np.argsort(-scores, kind="stable")
    ranked, flags = scores[order], positive[order].astype(np.float64)
    drawn = weights[:, order]
    up = drawn * flags
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    if len(starts) < len(ranked):
        drawn, up = np.add.reduceat(drawn, starts, axis=1), np.add.reduceat(up, starts, axis=1)
    so_far, hits = np.cumsum(drawn, axis=1), np.cumsum(up, axis=1)
    every, positives = so_far[:, -1].copy(), hits[:, -1].copy()
    # a positive row beats the negative ones behind it, and half of those at its own score
    behind = (every - positives)[:, None] - (so_far - hits) + (drawn - up) / 2
    area = ratio(np.einsum("bn,bn->b", up, behind), positives * (every - positives))
    hits /= np.maximum(so_far, 1.0, out=so_far)  # nothing drawn so far: nothing positive either
    return area, ratio(np.einsum("bn,bn->b", up, hits), positives)


def class_rankings(probabilities: Floats, labels: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """AUC and average precision of each class against the rest, float64 [B, C] each.

    With two classes both AUCs are that of the second column: one number, which rounding of 1 - p must not split in two.
    """
    classes = probabilities.shape[1]
    each = [ranking(probabilities[:, c], labels == c, weights) for c in range(classes)]
    areas, averages = (np.stack(values, axis=1) for values in zip(*each, strict=True))
    if classes == 2:
        areas[:, 0] = areas[:, 1]
    return areas, averages


def class_auc(probabilities: Floats, labels: Ints, weights: Floats) -> Floats:
    """One-vs-rest AUC of each class, float64 [B, C]; with two classes both are that of the second column."""
    classes = probabilities.shape[1]
    if classes == 2:
        return np.repeat(auc(probabilities[:, 1], labels == 1, weights)[:, None], 2, axis=1)
    return np.stack([auc(probabilities[:, c], labels == c, weights) for c in range(classes)], axis=1)


def brier(probabilities: Floats, labels: Ints) -> Floats:
    """Each row's Brier score (Brier 1950), halved: 0 to 1, with two classes (p - y)^2; float64 [N]."""
    wanted = np.eye(probabilities.shape[1])[labels]
    squares: Floats = ((probabilities - wanted) ** 2).sum(1) / 2
    return squares


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
    dict of float64 [B] (`accuracy`, `balanced_accuracy`, `macro_precision`, `macro_recall`, `macro_f1`, `auc`,
    `average_precision`, `brier`) and of float64 [B, C] (`precision`, `recall`, `f1`, `class_auc`,
    `class_average_precision`). `auc` is the mean of the one-vs-rest AUCs, which with two classes are one and the same;
    `average_precision` the mean over the classes.
    """
    areas, averages = class_rankings(probabilities, labels, weights)
    return {
        **decisions(probabilities, labels, weights),
        "auc": areas.mean(1),
        "average_precision": averages.mean(1),
        "brier": ratio(weights @ brier(probabilities, labels), weights.sum(1)),
        "class_auc": areas,
        "class_average_precision": averages,
    }


def decisions(probabilities: Floats, labels: Ints, weights: Floats) -> dict[str, Floats]:
    """The scores of `statistics` that count decisions alone, for the most probable class."""
    classes = probabilities.shape[1]
    table = confusions(labels, probabilities.argmax(1).astype(np.int64), weights, classes)
    hit, true, said = np.diagonal(table, axis1=1, axis2=2), table.sum(2), table.sum(1)
    present = true > 0
    recall, precision = ratio(hit, true), ratio(hit, said)
    f1 = np.where(present, ratio(2 * hit, true + said), np.nan)
    return {
        "accuracy": ratio(hit.sum(1), true.sum(1)),
        "balanced_accuracy": macro(recall, present),
        "macro_precision": macro(precision, present),
        "macro_recall": macro(recall, present),
        "macro_f1": macro(f1, present),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
