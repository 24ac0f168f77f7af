"""Scores under benign changes of the images, beside those of the images as they are: paired, with intervals.

The words are those of corruption robustness (ImageNet-C: Hendrycks and Dietterich 2019): a kind of change has several
severities; its score is the mean over them, that of the whole the mean over the kinds. ImageNet-C divides errors by
another network's; here each is compared with the same network's own score on the unchanged images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics.statistics import intervals, weighted
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints

SCORES = ("accuracy", "balanced_accuracy", "auc")


@dataclass(frozen=True)
class Case:
    """One kind of change at one severity, as a report names it.

    Attributes
    ----------
    name : str
        Of the kind.
    severity : int
        From 1.
    value : float or None
        The number of this severity, in `unit`.
    title, words : str
        The kind, and the change, in words.
    """

    name: str
    severity: int
    value: float | None
    unit: str
    title: str
    words: str


def report(
    clean: NDArray[np.floating[Any]],
    corrupted: NDArray[np.floating[Any]],
    labels: Ints,
    cases: Sequence[Case],
    groups: Ints | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores of each change, their means, and the worst.

    One set of resamples serves all scores and differences. It takes about (1 + K) x C x N x `resamples` x 10 ns.

    Parameters
    ----------
    clean : float [N, C]
        Probabilities of the images as they are.
    corrupted : float [K, N, C]
        Probabilities under each of the K cases.
    labels : int64 [N]
    cases : K of them, severities of a kind in a row
    groups : int64 [N] or None
        Patients (-1 unknown), drawn together.

    Returns
    -------
    {clean, changes, mean, worst, worst_case}
        `clean`: {name: score} of `SCORES`. `changes`: [{name, title, unit, severities, mean}], `severities` having
        {severity, value, words, scores, difference} and means {scores, difference}. A `difference` is of changed minus
        clean, {name: {difference, low, high, n}}. `mean`: {scores, difference}, over the kinds. `worst`: {name, title,
        scores, difference} of the kind whose mean accuracy is lowest; `worst_case`: {name, severity, words, scores,
        difference} of the case whose accuracy is lowest.

    Raises
    ------
    CcxrError
        Shapes that do not fit, or a probability that is not finite.
    """
    given = _checked(clean, corrupted, labels, cases)
    owners = intervals.group_numbers(groups, len(labels))
    kinds = list(dict.fromkeys(case.name for case in cases))
    mixed = mixture(cases, kinds)

    def columns(weights: Floats) -> Floats:
        scores = np.stack([_scores(each, labels, weights) for each in given], axis=1)  # [B, 1 + K, 3]
        means = np.einsum("mk,bks->bms", mixed, scores)
        every = np.concatenate([scores, means], axis=1)
        gaps = every - scores[:, :1]
        return np.concatenate([every, gaps], axis=1).reshape(len(weights), -1)

    shape = (2, 1 + len(cases) + len(mixed), len(SCORES))
    value, half = (each.reshape(shape) for each in intervals.spread(columns, len(labels), owners, resamples, seed))
    entries = [_entry(value[:, row], half[:, row], len(labels)) for row in range(shape[1])]
    for entry, each in zip(entries, given, strict=False):  # of the images themselves; a mean over changes is no rate
        intervals.add_rate(entry["scores"]["accuracy"], each.argmax(1) == labels, owners)
    return _arranged(entries, cases, kinds)


def mixture(cases: Sequence[Case], kinds: Sequence[str]) -> Floats:
    """Weights of the means, float64 [kinds + 1, 1 + K]: of each kind over its severities, last of all kinds alike."""
    own = np.array([[case.name == kind for case in cases] for kind in kinds], dtype=np.float64)
    own /= own.sum(1, keepdims=True)
    every = np.concatenate([own, own.mean(0, keepdims=True)])
    return np.concatenate([np.zeros((len(every), 1)), every], axis=1)


def _scores(probabilities: Floats, labels: Ints, weights: Floats) -> Floats:
    """`SCORES` of each resample, float64 [B, 3]."""
    found = weighted.decisions(probabilities, labels, weights)
    areas = weighted.class_auc(probabilities, labels, weights).mean(1)
    return np.stack([found["accuracy"], found["balanced_accuracy"], areas], axis=1)


def _entry(value: Floats, half: Floats, n: int) -> dict[str, Any]:
    """{scores, difference} from values and half intervals, float64 [2, 3] each: scores, then changed minus clean."""
    low, high = intervals.logit_ends(value[0], half[0])
    scores: dict[str, Any] = {}
    gaps: dict[str, Any] = {}
    for number, name in enumerate(SCORES):
        if np.isfinite(value[0, number]):
            ends = intervals.known(low[number], high[number])
            scores[name] = {"value": float(value[0, number]), "n": n, **ends}
            gaps[name] = intervals.difference(value[1, number], half[1, number], n)
        else:
            scores[name] = {"value": None, "n": n, "low": None, "high": None, "reason": "a class has no rows"}
            gaps[name] = {"difference": None, "low": None, "high": None, "n": n}
    return {"scores": scores, "difference": gaps}


def _arranged(entries: list[dict[str, Any]], cases: Sequence[Case], kinds: Sequence[str]) -> dict[str, Any]:
    """The report from the entries of the clean images, of each case, of each kind's mean, and of the whole."""
    clean, each, means, mean = entries[0], entries[1 : 1 + len(cases)], entries[1 + len(cases) : -1], entries[-1]
    told = [
        {"severity": case.severity, "value": case.value, "words": case.words, **entry}
        for case, entry in zip(cases, each, strict=True)
    ]
    first = {kind: next(case for case in cases if case.name == kind) for kind in kinds}
    changes = [
        {
            "name": kind,
            "title": first[kind].title,
            "unit": first[kind].unit,
            "severities": [line for line, case in zip(told, cases, strict=True) if case.name == kind],
            "mean": entry,
        }
        for kind, entry in zip(kinds, means, strict=True)
    ]

    def accuracy(entry: dict[str, Any]) -> float:
        return float(entry["scores"]["accuracy"]["value"])

    lowest = min(range(len(kinds)), key=lambda number: accuracy(means[number]))
    single = min(range(len(cases)), key=lambda number: accuracy(each[number]))
    return {
        "clean": clean["scores"],
        "changes": changes,
        "mean": mean,
        "worst": {"name": kinds[lowest], "title": first[kinds[lowest]].title, **means[lowest]},
        "worst_case": {"name": cases[single].name, **told[single]},
    }


def _checked(
    clean: NDArray[np.floating[Any]], corrupted: NDArray[np.floating[Any]], labels: Ints, cases: Sequence[Case]
) -> Floats:
    """All probabilities, float64 [1 + K, N, C], the clean ones first."""
    first, others = np.asarray(clean, dtype=np.float64), np.asarray(corrupted, dtype=np.float64)
    wanted = (len(cases), *first.shape)
    if not len(cases) or others.shape != wanted or first.shape[:1] != (len(labels),):
        raise CcxrError(
            f"probabilities under {len(cases)} changes have shape {list(others.shape)}; {len(labels)} labels and clean "
            f"ones of shape {list(first.shape)} need {list(wanted)}"
        )
    found = np.concatenate([first[None], others])
    if not np.isfinite(found).all():
        bad = [case.words for case, each in zip(cases, others, strict=True) if not np.isfinite(each).all()]
        raise CcxrError(f"probabilities are not finite under {', '.join(bad) or 'no change'}; lower the learning rate")
    return found
