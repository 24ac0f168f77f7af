"""Scores of the groups that a column of the manifest makes, each beside the rest of the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.metrics import scores
from contrastive_cxr.metrics.statistics import intervals, weighted
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints

FEWEST = 10  # images below which a score would be a story about single patients
COMPARED = ("accuracy", "balanced_accuracy", "auc")
UNKNOWN = "not stated"
_WORDS = 6  # different numbers up to which a column of numbers is read as words: grades, stages
_MOST = 20  # groups of words that are shown; the others are one


@dataclass(frozen=True)
class Classified:
    """A model's predictions on N images.

    Attributes
    ----------
    probabilities : float [N, C]
    labels : int64 [N], 0..C-1
    patients : int64 [N], -1 unknown
    classes : the C names
    positive : number of the positive class
    """

    probabilities: NDArray[np.floating[Any]]
    labels: Ints
    patients: Ints
    classes: Sequence[str]
    positive: int


def by_column(said: Classified, column: Sequence[str], resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Scores of each group of a column, and their differences to all other images.

    The interval of a difference is a bootstrap over the patients of both sides together: the two sides are different
    images, so nothing is paired, but a patient with images on both sides is drawn once. Nothing is adjusted for the
    number of groups.

    Parameters
    ----------
    said : Classified
        N images.
    column : str [N]
        Their values; '' is unknown. Numbers of more than 6 different values become quartiles.
    resamples : int
        Bootstrap resamples.

    Returns
    -------
    {quartiles: bool, groups: [{name, n, patients, counts, scores, difference, reason}]}. `scores` as in
    `scores.classification`, or None with a `reason` for a group of fewer than 10 images or of one class; `difference`
    {score: {difference, low, high, n}}, group minus rest, or None where the rest has no scores, or other classes.
    """
    assert len(column) == len(said.labels), f"{len(column)} values for {len(said.labels)} images"
    quartiles = is_measured(column)
    groups = measured(column) if quartiles else named(column)
    return {
        "quartiles": quartiles,
        "groups": [{"name": name, **_group(said, inside, resamples, seed)} for name, inside in groups],
    }


def is_measured(column: Sequence[str]) -> bool:
    """Whether a column holds numbers, more different ones than grades or stages have.

    Examples
    --------
    >>> is_measured(["1", "2", "3", ""]), is_measured([str(age) for age in range(20, 60)])
    (False, True)
    """
    known = {value for value in column if value}
    return len(known) > _WORDS and all(_number(value) is not None for value in known)


def measured(column: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(`from to`, mask bool [N]) of the quartiles of a column of numbers; equal numbers stay together."""
    numbers = np.array([math.nan if value == "" else float(value) for value in column])
    edges = np.unique(np.nanquantile(numbers, [0.25, 0.5, 0.75]))
    places = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers))
    found = []
    for place in np.unique(places[places >= 0]):
        inside = places == place
        found.append((f"{numbers[inside].min():.6g} to {numbers[inside].max():.6g}", inside))
    unknown = places == -1
    return [*found, *([(UNKNOWN, unknown)] if unknown.any() else [])]


def named(column: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(value, mask bool [N]) of the values of a column of words, the largest first; small ones beyond 20 together."""
    values = np.array(column, dtype=object)
    words, counts = np.unique(values[values != ""].astype(str), return_counts=True)
    order = words[np.lexsort((words, -counts))]
    shown = order if len(order) <= _MOST else order[: _MOST - 1]
    found = [(str(word), values == word) for word in shown]
    if len(shown) < len(order):
        found.append((f"{len(order) - len(shown)} other values", np.isin(values.astype(str), order[len(shown) :])))
    unknown = values == ""
    return [*found, *([(UNKNOWN, unknown)] if unknown.any() else [])]


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _group(said: Classified, inside: NDArray[np.bool_], resamples: int, seed: int) -> dict[str, Any]:
    """Counts of a group; its scores and its difference to the rest where there is enough of it."""
    counts = np.bincount(said.labels[inside], minlength=len(said.classes))
    patients = said.patients[inside]
    entry: dict[str, Any] = {
        "n": int(inside.sum()),
        "patients": len(np.unique(patients[patients >= 0])) or None,
        "counts": {name: int(count) for name, count in zip(said.classes, counts, strict=True)},
        "scores": None,
        "difference": None,
    }
    reason = _too_little(counts)
    if reason:
        return {**entry, "reason": reason}
    judged = scores.classification(
        said.probabilities[inside], said.labels[inside], said.classes, said.positive, patients, resamples, seed
    )
    entry["scores"] = judged["scores"]
    rest = np.bincount(said.labels[~inside], minlength=len(said.classes))
    if not _too_little(rest) and ((rest > 0) == (counts > 0)).all():
        entry["difference"] = _difference(said, inside, resamples, seed)
    return entry


def _too_little(counts: NDArray[np.int64]) -> str:
    """Why a group of these class counts is not scored; empty where it is."""
    if counts.sum() < FEWEST:
        return f"fewer than {FEWEST} images"
    return "one class alone" if (counts > 0).sum() < 2 else ""


def _difference(said: Classified, inside: NDArray[np.bool_], resamples: int, seed: int) -> dict[str, Any]:
    """{score: {difference, low, high, n}}, the group minus the rest; n counts both sides."""
    probabilities = np.asarray(said.probabilities, dtype=np.float64)

    def differences(weights: Floats) -> Floats:
        group, rest = (
            weighted.statistics(probabilities[side], said.labels[side], weights[:, side]) for side in (inside, ~inside)
        )
        return np.stack([group[name] - rest[name] for name in COMPARED], axis=1)

    n = len(said.labels)
    values, halves = intervals.spread(differences, n, said.patients, resamples, seed)
    return {name: _ends(float(values[i]), float(halves[i]), n) for i, name in enumerate(COMPARED)}


def _ends(value: float, half: float, n: int) -> dict[str, Any]:
    """A difference as report.json has it; None for what is undefined, or has no spread to make an interval of."""
    if not math.isfinite(value):
        return {"difference": None, "low": None, "high": None, "n": n}
    return {"difference": value, **intervals.known(max(-1.0, value - half), min(1.0, value + half)), "n": n}
