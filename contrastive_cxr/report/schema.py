"""The facts of `report.json`, from arrays; every field is described in docs/report.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from contrastive_cxr.evaluate import decisions, intervals, scores
from contrastive_cxr.evaluate.neighbours import NeighbourScores
from contrastive_cxr.run.folder import plain
from contrastive_cxr.tasks import Task

VERSION = 1
_ROC_POINTS = 200
_COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
Probabilities = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tta:
    """Test-time augmentation: the set, its views in words, and float [N, C] without it."""

    name: str
    views: tuple[str, ...]
    untouched: Probabilities


def build(
    *,
    experiment: str,
    task: Task,
    phase: str,
    split: str,
    probabilities: Probabilities,
    labels: Ints,
    patients: Ints,
    neighbours: Mapping[Any, NeighbourScores] | None = None,
    baselines: Sequence[tuple[str, Probabilities]] = (),
    costs: NDArray[np.float64] | None = None,
    tta: Tta | None = None,
    last_layers: Mapping[Any, Mapping[str, float]] | None = None,
    budget: Mapping[str, Any] | None = None,
    resamples: int = 2000,
    seed: int = 0,
    skipped: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Score one model on one split.

    Parameters
    ----------
    phase : the phase whose folder holds the arrays of these rows
    probabilities : float [N, C]
    labels, patients : int64 [N]; patient -1 is unknown
    neighbours : {phase: scores of its embedding on the same N queries}
    baselines : (name, probabilities float [N, C]) of what cannot see disease
    costs : float64 [C, C], of each decision (column) about a true class (row); None: no decision by cost
    tta : the set of test-time augmentation that `probabilities` are of, and those without it
    last_layers : {phase: statistics of its last layer's weights}
    budget : what training took, shown as it is
    resamples : bootstrap resamples of every interval
    skipped : images that could not be read, columns `path`, `error`
    notes : sentences that a reader needs

    Returns
    -------
    dict
        The contents of `report.json`: only what JSON can hold.
    """
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    judged = scores.classification(probabilities, labels, task.names, task.positive_index, patients, **options)
    found = neighbours or {}
    facts = {
        "version": VERSION,
        "experiment": experiment,
        "task": {"name": task.name, "classes": list(task.names), "positive": task.names[task.positive_index]},
        "phase": phase,
        "split": split,
        **{name: judged[name] for name in ("n", "counts", "scores", "per_class", "confusion")},
        "patients": len(np.unique(patients[patients >= 0])) or None,
        "by_patient": _by_patient(task, probabilities, labels, patients, options),
        "roc": _roc(task, probabilities, labels),
        "neighbours": {name: each.with_intervals(patients, **options) for name, each in found.items()},
        "neighbour_gain": _neighbour_gain(found, patients, options),
        "baselines": [_baseline(task, *each, probabilities, labels, patients, options) for each in baselines],
        "cascade": None,
        "costs": _costs(task, costs, probabilities, labels, patients, options),
        "tta": _tta(task, tta, probabilities, labels, patients, options),
        "last_layer": {name: dict(each) for name, each in (last_layers or {}).items()},
        "budget": dict(budget or {}),
        "skipped": [] if skipped is None else skipped.to_dict("records"),
        "notes": list(notes),
    }
    return dict(plain(facts))


def build_cascade(
    *,
    experiment: str,
    task: Task,
    split: str,
    labels: Ints,
    patients: Ints,
    flat: Probabilities,
    joined: Probabilities,
    verdicts: Ints,
    stages: Mapping[str, Mapping[str, Any]],
    resamples: int = 2000,
    seed: int = 0,
    costs: NDArray[np.float64] | None = None,
    tta: Tta | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Score the joined stages of a cascade beside the flat model on the same rows.

    Parameters
    ----------
    labels, patients : int64 [N]
    flat, joined : float [N, C]
    verdicts : int64 [N], the decisions by stages
    stages : {name: the `report.json` of that run}
    costs, tta : as in `build`, of the joined probabilities

    Returns
    -------
    dict
        As `build`, of the joined probabilities, with `cascade`: {flat, verdicts, stages, paired}.
    """
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    facts = build(
        experiment=experiment, task=task, phase="cascade", split=split, probabilities=joined, labels=labels,
        patients=patients, costs=costs, tta=tta, notes=notes, **options,
    )  # fmt: skip
    hard = np.eye(len(task.names))[verdicts]
    beside = {
        name: scores.classification(given, labels, task.names, task.positive_index, patients, **options)
        for name, given in {"flat": flat, "verdicts": hard}.items()
    }
    del beside["verdicts"]["scores"]["auc"]  # a decision ranks nothing
    facts["cascade"] = plain(
        {
            **{name: {key: each[key] for key in ("scores", "confusion")} for name, each in beside.items()},
            "stages": {
                name: {key: stage[key] for key in ("task", "n", "counts", "scores", "per_class", "confusion")}
                for name, stage in stages.items()
            },
            "paired": {
                "joined": scores.paired(joined, flat, labels, patients, _COMPARED, **options),
                "verdicts": scores.paired(hard, flat, labels, patients, _COMPARED[:-1], **options),
            },
        }
    )
    return facts


def _costs(
    task: Task, costs: NDArray[np.float64] | None, probabilities: Probabilities, labels: Ints, patients: Ints,
    options: dict[str, Any],
) -> dict[str, Any] | None:  # fmt: skip
    """{matrix, by_cost, most_probable, paired, changed}; None without costs."""
    if costs is None:
        return None
    rows = {true: dict(zip(task.names, row, strict=True)) for true, row in zip(task.names, costs.tolist(), strict=True)}
    return {"matrix": rows, **decisions.judged(probabilities, labels, costs, patients, **options)}


def _tta(
    task: Task, tta: Tta | None, probabilities: Probabilities, labels: Ints, patients: Ints, options: dict[str, Any]
) -> dict[str, Any] | None:
    """{name, views, scores (without it), gain (with minus without)}; None without test-time augmentation."""
    if tta is None:
        return None
    judged = scores.classification(tta.untouched, labels, task.names, task.positive_index, patients, **options)
    gain = scores.paired(probabilities, tta.untouched, labels, patients, _COMPARED, **options)
    return {"name": tta.name, "views": list(tta.views), "scores": judged["scores"], "gain": gain}


def _by_patient(
    task: Task, probabilities: Probabilities, labels: Ints, patients: Ints, options: dict[str, Any]
) -> dict[str, Any] | None:
    if not (patients >= 0).any():
        return None
    means, truth = scores.by_patient(probabilities, labels, patients)
    judged = scores.classification(means, truth, task.names, task.positive_index, **options)
    return {name: judged[name] for name in ("n", "counts", "scores", "confusion")}


def _baseline(
    task: Task, name: str, given: Probabilities, model: Probabilities, labels: Ints, patients: Ints,
    options: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    judged = scores.classification(given, labels, task.names, task.positive_index, patients, **options)
    gain = scores.paired(model, given, labels, patients, _COMPARED, **options)
    return {"name": name, "scores": judged["scores"], "gain": gain, "roc": _roc(task, given, labels)}


def _neighbour_gain(
    found: Mapping[str, NeighbourScores], patients: Ints, options: dict[str, Any]
) -> dict[str, Any] | None:
    """What phase 2 added to the neighbours of phase 1, query by query."""
    if not {"pretrain", "embed"} <= set(found):
        return None
    after, before = found["embed"].per_query, found["pretrain"].per_query
    gains = {
        name: intervals.paired(after[name], before[name], patients, **options) for name in ("map_at_r", "knn_accuracy")
    }
    return {"first": "embed", "second": "pretrain", "scores": gains}


def _roc(task: Task, probabilities: Probabilities, labels: Ints) -> dict[str, list[list[float]]]:
    """{class: [[false positive rate, true positive rate], ...]}, at most 200 points; two classes: the positive's."""
    numbers = range(len(task.names)) if len(task.names) > 2 else [task.positive_index]
    curves = {}
    for number in numbers:
        truth = labels == number
        if truth.any() and not truth.all():
            false, true, _ = roc_curve(truth, np.asarray(probabilities, dtype=np.float64)[:, number])
            kept = np.unique(np.linspace(0, len(false) - 1, min(len(false), _ROC_POINTS)).round().astype(int))
            curves[task.names[number]] = np.stack([false[kept], true[kept]], axis=1).round(4).tolist()
    return curves
