"""Classification scores with intervals and counts, by image and by patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics.statistics import intervals, perfect, weighted
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints

_POINT = ("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "auc")
_OVERALL = (*_POINT, "average_precision", "brier")
_PER_CLASS = {
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "class_auc": "auc",
    "class_average_precision": "average_precision",
}


def classification(
    probabilities: NDArray[np.floating[Any]],
    labels: Ints,
    classes: Sequence[str],
    positive: int,
    groups: Ints | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Every classification score, each `{value, n, low, high}`; the decision is the most probable class.

    Parameters
    ----------
    probabilities : float [N, C]
    labels : int64 [N], 0..C-1
    classes : the C class names
    positive : number of the positive class
    groups : int64 [N] or None, patients (-1 unknown); the interval is a bootstrap over them
    resamples : bootstrap resamples

    Returns
    -------
    {n, groups, counts {class: n}, scores, per_class {class: {precision, recall, f1, auc, average_precision, n}},
    confusion [C][C]}, the confusion matrix with a row a true class. `scores`: accuracy, balanced_accuracy,
    macro_precision, macro_recall, macro_f1, auc and average_precision (three or more classes: macro one-vs-rest; two:
    of the positive one), brier; two classes also precision, recall, specificity, f1 of the positive one. A rate also
    has `successes`, `wilson` and `design_effect`; an undefined value is None with a `reason`.

    Macro means are over the classes that have rows; one that was never predicted counts there with precision 0. A
    rate's interval is Wilson's with the design effect of the groups, another score's a bootstrap over them. Where that
    has no spread (everything right), an AUC, an F1 and a mean over classes have a `bound` (`perfect`), the others None.

    Raises
    ------
    CcxrError
        Where shapes disagree, a label is out of range or a probability is not finite.
    """
    probabilities, labels = _checked(probabilities, labels, len(classes))
    n, count = len(labels), len(classes)
    owners = intervals.group_numbers(groups, n)
    names = [*_OVERALL, *(f"{name}/{c}" for name in _PER_CLASS for c in range(count))]

    def columns(weights: Floats) -> Floats:
        found = weighted.statistics(probabilities, labels, weights)
        overall = [found[name][:, None] for name in _OVERALL]
        return np.concatenate([*overall, *(found[name] for name in _PER_CLASS)], axis=1)

    values = columns(np.ones((1, n)))[0]
    low, high = intervals.bootstrap(columns, n, owners, resamples, seed)
    entries = {name: _entry(*ends) for name, *ends in zip(names, values, low, high, strict=True)}
    _add_counts(entries, labels, probabilities.argmax(1), owners, classes)
    _add_bounds(entries, labels, owners, count)
    scores = {name: entries[name] for name in _OVERALL}
    if count == 2:
        own = {name: entries[f"{name}/{positive}"] for name in ("precision", "recall", "f1")}
        scores |= {**own, "specificity": entries[f"recall/{1 - positive}"]}
        scores["average_precision"] = entries[f"class_average_precision/{positive}"]
    table = weighted.confusions(labels, probabilities.argmax(1), np.ones((1, n)), count)[0]
    per_class = {
        name: {shown: entries[f"{kept}/{c}"] for kept, shown in _PER_CLASS.items()} | {"n": int((labels == c).sum())}
        for c, name in enumerate(classes)
    }
    return {
        "n": n,
        "groups": len(np.unique(owners)),
        "counts": {name: int((labels == c).sum()) for c, name in enumerate(classes)},
        "scores": scores,
        "per_class": per_class,
        "confusion": table.astype(int).tolist(),
    }


def point(probabilities: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    """Scores without intervals, for every epoch: accuracy, balanced_accuracy, auc; macro precision, recall and f1.

    Parameters
    ----------
    probabilities : float [N, C]
    labels : int64 [N], 0..C-1

    Returns
    -------
    {name: float}, nan where undefined (the AUC where a class has no rows).
    """
    probabilities, labels = _checked(probabilities, labels, np.shape(probabilities)[-1])
    found = weighted.statistics(probabilities, labels, np.ones((1, len(labels))))
    return {name.removeprefix("macro_"): float(found[name][0]) for name in _POINT}


def by_patient(probabilities: NDArray[np.floating[Any]], labels: Ints, patients: Ints) -> tuple[Floats, Ints]:
    """Mean probability of a patient's images.

    A patient whose images have several labels counts once for each; an image of unknown patient (-1) counts as itself.

    Parameters
    ----------
    probabilities : float [N, C]
    labels, patients : int64 [N]

    Returns
    -------
    (probabilities float64 [M, C], labels int64 [M])
    """
    probabilities, labels = _checked(probabilities, labels, np.shape(probabilities)[-1])
    pairs = np.stack([intervals.group_numbers(patients, len(labels)), labels], axis=1)
    kept, member = np.unique(pairs, axis=0, return_inverse=True)
    sums = np.zeros((len(kept), probabilities.shape[1]))
    np.add.at(sums, member.reshape(-1), probabilities)
    sizes = np.bincount(member.reshape(-1), minlength=len(kept))
    return sums / sizes[:, None], kept[:, 1]


def paired(
    first: NDArray[np.floating[Any]],
    second: NDArray[np.floating[Any]],
    labels: Ints,
    groups: Ints | None = None,
    names: Sequence[str] = ("accuracy", "balanced_accuracy", "auc"),
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Differences `first - second` of two classifiers' scores on the same rows, with paired intervals.

    Parameters
    ----------
    first, second : float [N, C], probabilities; a hard decision is a one-hot row
    labels, groups : as in `classification`
    names : any of accuracy, balanced_accuracy, macro_precision, macro_recall, macro_f1, auc

    Returns
    -------
    {name: {difference, low, high, n}}
    """
    first, labels = _checked(first, labels, np.shape(first)[-1])
    second, labels = _checked(second, labels, first.shape[1])

    def columns(given: Floats, weights: Floats) -> Floats:
        found = weighted.decisions(given, labels, weights)
        if "auc" in names:
            found["auc"] = weighted.class_auc(given, labels, weights).mean(1)
        return np.stack([found[name] for name in names], axis=1)

    def differences(weights: Floats) -> Floats:
        return columns(first, weights) - columns(second, weights)

    n = len(labels)
    found = zip(names, *intervals.spread(differences, n, groups, resamples, seed), strict=True)
    return {name: intervals.difference(value, half, n) for name, value, half in found}


def _checked(given: NDArray[np.floating[Any]], numbers: Ints, classes: int) -> tuple[Floats, Ints]:
    probabilities, labels = np.asarray(given, dtype=np.float64), np.asarray(numbers, dtype=np.int64)
    if probabilities.shape != (len(labels), classes):
        raise CcxrError(
            f"probabilities have shape {list(probabilities.shape)}; {len(labels)} labels and {classes} classes need "
            f"[{len(labels)}, {classes}]"
        )
    if not np.isfinite(probabilities).all():
        bad = int((~np.isfinite(probabilities)).any(1).sum())
        raise CcxrError(f"the probabilities of {bad} of {len(labels)} rows are not finite; lower the learning rate")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise CcxrError(f"labels go from {labels.min()} to {labels.max()}; with {classes} classes 0 to {classes - 1}")
    return probabilities, labels


def _entry(value: float, low: float, high: float) -> dict[str, Any]:
    if not np.isfinite(value):
        return {"value": None, "n": 0, "low": None, "high": None}
    return {"value": float(value), "n": 0, **intervals.known(low, high)}


def _add_counts(
    entries: dict[str, dict[str, Any]], labels: Ints, predicted: Ints, owners: Ints, classes: Sequence[str]
) -> None:
    """Give each entry its `n`, rates their successes and Wilson's interval, undefined values their reason."""
    for entry in entries.values():
        entry["n"] = len(labels)
    absent = [name for c, name in enumerate(classes) if not (labels == c).any()]
    right = predicted == labels
    intervals.add_rate(entries["accuracy"], right, owners)
    for c, name in enumerate(classes):
        true, said = labels == c, predicted == c
        intervals.add_rate(entries[f"recall/{c}"], right[true], owners[true])
        intervals.add_rate(entries[f"precision/{c}"], right[said], owners[said])
        entries[f"f1/{c}"]["n"] = int(true.sum())
        for kind in ("recall", "f1"):
            _explain(entries[f"{kind}/{c}"], f"no rows of class '{name}'")
        _explain(entries[f"precision/{c}"], f"no row was predicted as '{name}'")
        _explain(entries[f"class_auc/{c}"], f"class '{name}' has {'no' if name in absent else 'only its own'} rows")
        _explain(entries[f"class_average_precision/{c}"], f"no rows of class '{name}'")
    _explain(entries["average_precision"], f"no rows of {', '.join(repr(name) for name in absent)}")
    _explain(entries["auc"], f"no rows of {', '.join(repr(name) for name in absent)}")
    for name in _OVERALL:
        _explain(entries[name], "no rows")


def _add_bounds(entries: dict[str, dict[str, Any]], labels: Ints, owners: Ints, classes: int) -> None:
    """Intervals of what is without an error; an AUC counts patients, whose images may all agree."""
    for c in range(classes):
        mine = labels == c
        sides = len(np.unique(owners[mine])), len(np.unique(owners[~mine]))
        perfect.bound_auc(entries[f"class_auc/{c}"], *sides)
        perfect.bound_f1(entries[f"f1/{c}"], entries[f"recall/{c}"], entries[f"precision/{c}"])
    means = {
        "balanced_accuracy": "recall",
        "macro_recall": "recall",
        "macro_precision": "precision",
        "macro_f1": "f1",
        "auc": "class_auc",
    }
    present = [c for c in range(classes) if (labels == c).any()]  # those that the means are over
    for name, part in means.items():
        perfect.bound_mean(entries[name], [entries[f"{part}/{c}"] for c in present])


def _explain(entry: dict[str, Any], reason: str) -> None:
    if entry["value"] is None:
        entry.setdefault("reason", reason)
