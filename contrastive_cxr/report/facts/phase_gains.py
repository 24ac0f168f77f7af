"""The scores of a later phase compared with an earlier one on the same images, and which phase to use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import contrastive_cxr.report.facts.words as words
from contrastive_cxr.metrics import scores
from contrastive_cxr.metrics.neighbours import NeighbourScores
from contrastive_cxr.metrics.statistics import intervals
from contrastive_cxr.report.facts.inputs import Ints, Probabilities

NEIGHBOURS = ("map_at_r", "knn_accuracy")
ANSWERS = ("accuracy", "balanced_accuracy", "auc")
_PHASES = {"pretrain": "phase 1", "embed": "phase 2", "finetune": "phase 3"}
_USES = {"neighbours": "retrieval", "answers": "predictions"}
_NAMES = {"neighbours": "neighbours", "answers": "predictions"}


def of_neighbours(
    found: Mapping[Any, NeighbourScores], patients: Ints, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The neighbour scores of phase 2 minus those of phase 1, paired by query.

    Parameters
    ----------
    found : {phase: scores of its embedding on the same N queries}
    patients : int64 [N], -1 unknown
    options : resamples and seed of the bootstrap

    Returns
    -------
    {first, second, scores: {map_at_r, knn_accuracy, knn_auc: {difference, low, high, n}}}, first minus second; without
    `knn_auc` if no query has a neighbour. None if one of the phases is missing.
    """
    if not {"pretrain", "embed"} <= set(found):
        return None
    after, before = found["embed"], found["pretrain"]
    gains = {
        name: intervals.paired(after.per_query[name], before.per_query[name], patients, **options)
        for name in NEIGHBOURS
    }
    voted = np.isfinite(after.per_query["knn_accuracy"]) & np.isfinite(before.per_query["knn_accuracy"])
    if voted.any():
        both = after.votes[voted], before.votes[voted]
        gains |= {"knn_auc": scores.paired(*both, after.labels[voted], patients[voted], ("auc",), **options)["auc"]}
    return {"first": "embed", "second": "pretrain", "scores": gains}


def of_answers(
    answers: Mapping[Any, Probabilities], labels: Ints, patients: Ints, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The scores of phase 3's classifier minus those of phase 1, paired by image.

    Parameters
    ----------
    answers : {phase: probabilities float [N, C]} of the phases with a classifier
    labels, patients : int64 [N]

    Returns
    -------
    {first, second, scores: {accuracy, balanced_accuracy, auc: {difference, low, high, n}}}, first minus second; None
    if one of the phases is missing.
    """
    if not {"pretrain", "finetune"} <= set(answers):
        return None
    gains = scores.paired(answers["finetune"], answers["pretrain"], labels, patients, ANSWERS, **options)
    return {"first": "finetune", "second": "pretrain", "scores": gains}


def advice(neighbours: Mapping[str, Any] | None, answers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Which phase to use for retrieval and for predictions, and why, in sentences.

    The later phase is preferred, unless the whole interval of one of its differences lies below 0.

    Returns
    -------
    {neighbours, answers: the phase to use (left out if there is nothing to compare), sentences}; None if neither was
    compared.
    """
    compared = {name: gain for name, gain in (("neighbours", neighbours), ("answers", answers)) if gain is not None}
    if not compared:
        return None
    chosen = {name: gain["second"] if loses(gain) else gain["first"] for name, gain in compared.items()}
    return {**chosen, "sentences": [sentence(name, gain) for name, gain in compared.items()]}


def loses(gain: Mapping[str, Any]) -> bool:
    """Whether the whole interval of one of the differences lies below 0."""
    return any(words.verdict(each) == "worse" for each in gain["scores"].values())


def sentence(what: str, gain: Mapping[str, Any]) -> str:
    """A sentence: how the later phase changed the `neighbours` or the `answers` (predictions) of the earlier one.

    Examples
    --------
    >>> worse = {"difference": -0.08, "low": -0.11, "high": -0.05, "n": 302}
    >>> sentence("answers", {"first": "finetune", "second": "pretrain", "scores": {"accuracy": worse}})[:70]
    'Phase 3 makes the predictions of phase 1 worse: Accuracy -0.08 (n 302;'
    """
    scored = _NAMES[what]
    later, earlier = _PHASES[gain["first"]], _PHASES[gain["second"]]
    sides: dict[str, list[str]] = {"better": [], "worse": [], "unclear": []}
    for name, each in gain["scores"].items():
        if each["difference"] is not None and math.isfinite(each["difference"]):
            sides[words.verdict(each)].append(f"{words.title(name)} {words.difference(each)}")
    found = {side: ", ".join(parts) for side, parts in sides.items()}
    start = later.capitalize()
    if found["worse"]:
        also = f" It raises {found['better']}." if found["better"] else ""
        use = f"For {_USES[what]} use the model of {earlier}: the folder {gain['second']} of the run."
        return f"{start} makes the {scored} of {earlier} worse: {found['worse']}.{also} {use}"
    if found["better"]:
        rest = f" Differences that may be noise: {found['unclear']}." if found["unclear"] else ""
        return f"{start} improves the {scored} of {earlier}: {found['better']}.{rest}"
    if found["unclear"]:
        return f"{start} does not measurably change the {scored} of {earlier}: {found['unclear']}."
    return f"It is unknown whether {later} improves the {scored} of {earlier}: there are too few images."
