"""The facts of `report.json`, from arrays; every field is described in docs/reference/report.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

import contrastive_cxr.report.facts.phase_gains as phase_gains
import contrastive_cxr.report.facts.words as words
from contrastive_cxr.metrics import calibration, cascade, decisions, scores, selective, thresholds
from contrastive_cxr.report.facts.inputs import Ints, Predictions, Probabilities, ReportExtras, Stages, Subject
from contrastive_cxr.run.folder import plain
from contrastive_cxr.tasks import Task

VERSION = 2
_ROC_POINTS = 200
_COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
_NOTHING = ReportExtras()


def build(
    subject: Subject, said: Predictions, beside: ReportExtras = _NOTHING, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Score one model on one part.

    Parameters
    ----------
    resamples : bootstrap resamples of every interval

    Returns
    -------
    dict
        The contents of `report.json`: only what JSON can hold.
    """
    task, options = subject.task, {"resamples": resamples, "seed": seed}
    judged = _judged(task, said.probabilities, said, options)
    baselines = [_baseline(task, *each, said, options) for each in beside.baselines]
    neighbour_gain = phase_gains.of_neighbours(beside.neighbours, said.patients, options)
    answer_gain = phase_gains.of_answers(beside.answers, said.labels, said.patients, options)
    facts = {
        "version": VERSION,
        "experiment": subject.experiment,
        "task": {"name": task.name, "classes": list(task.names), "positive": task.names[task.positive_index]},
        "phase": subject.phase,
        "split": subject.split,
        **{name: judged[name] for name in ("n", "groups", "counts", "scores", "per_class", "confusion")},
        "patients": len(np.unique(said.patients[said.patients >= 0])) or None,
        "by_patient": _by_patient(task, said, options),
        "roc": _roc(task, said.probabilities, said.labels),
        "neighbours": {name: each.with_intervals(said.patients, **options) for name, each in beside.neighbours.items()},
        "neighbour_gain": neighbour_gain,
        "answer_gain": answer_gain,
        "advice": None if subject.split == "train" else phase_gains.advice(neighbour_gain, answer_gain),
        "baselines": baselines,
        "adds": _adds(baselines),
        "calibration": _calibration(task, said, beside, options),
        "thresholds": _thresholds(task, said, beside),
        "selective": _selective(said, beside, options),
        "cascade": None,
        "robustness": None,
        "external_drop": None,
        "audit": None,
        "costs": _costs(task, said, beside, options),
        "tta": _tta(task, said, beside, options),
        "last_layer": {name: dict(each) for name, each in beside.last_layers.items()},
        "budget": dict(beside.budget),
        "skipped": [] if beside.skipped is None else beside.skipped.to_dict("records"),
        "notes": list(beside.notes),
    }
    return dict(plain(facts))


def build_cascade(
    subject: Subject,
    joined: Predictions,
    stages: Stages,
    beside: ReportExtras = _NOTHING,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score the joined stages of a cascade beside the flat model on the same rows.

    Parameters
    ----------
    joined : Predictions
        Of the joined probabilities, as from `metrics.cascade.join`.

    Returns
    -------
    dict
        As `build`, of the joined probabilities, with `cascade`: {flat, verdicts, errors, stages, paired}.
    """
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    facts = build(subject, joined, beside, **options)
    task, labels, patients = subject.task, joined.labels, joined.patients
    hard = np.eye(len(task.names))[stages.verdicts]
    beside_it = {
        name: _judged(task, given, joined, options) for name, given in {"flat": stages.flat, "verdicts": hard}.items()
    }
    for name in ("auc", "average_precision", "brier"):
        del beside_it["verdicts"]["scores"][name]  # a decision ranks nothing and states no probability
    facts["cascade"] = plain(
        {
            **{name: {key: each[key] for key in ("scores", "confusion")} for name, each in beside_it.items()},
            "errors": cascade.errors(stages.verdicts, labels, stages.first),
            "stages": {
                name: {key: stage[key] for key in ("task", "n", "counts", "scores", "per_class", "confusion")}
                for name, stage in stages.reports.items()
            },
            "paired": {
                "joined": scores.paired(joined.probabilities, stages.flat, labels, patients, _COMPARED, **options),
                "verdicts": scores.paired(hard, stages.flat, labels, patients, _COMPARED[:-1], **options),
            },
        }
    )
    return facts


def _judged(task: Task, given: Probabilities, said: Predictions, options: dict[str, Any]) -> dict[str, Any]:
    return scores.classification(given, said.labels, task.names, task.positive_index, said.patients, **options)


def _calibration(task: Task, said: Predictions, beside: ReportExtras, options: dict[str, Any]) -> dict[str, Any]:
    """As from `calibration.report`, with what the temperature was fitted on: {fitted_on, fitted_images}."""
    probabilities = np.asarray(said.probabilities, dtype=np.float64)
    found = calibration.report(
        probabilities, said.labels, task.positive_index, said.patients, beside.validation, **options
    )
    return found | _fitted(said, beside)


def _fitted(said: Predictions, beside: ReportExtras) -> dict[str, Any]:
    """Whether validation images or, crosswise, the scored ones themselves were fitted on, and how many."""
    if beside.validation is None:
        return {"fitted_on": "scored", "fitted_images": len(said.labels)}
    return {"fitted_on": "validation", "fitted_images": len(beside.validation.labels)}


def _thresholds(task: Task, said: Predictions, beside: ReportExtras) -> list[dict[str, Any]]:
    """As from `thresholds.report`: the positive class against the rest."""
    number = task.positive_index
    given = np.asarray(said.probabilities, dtype=np.float64)[:, number]
    lines = thresholds.report(
        given, said.labels == number, beside.targets, said.patients, beside.validation, number=number
    )
    return [line | _fitted(said, beside) for line in lines]


def _selective(said: Predictions, beside: ReportExtras, options: dict[str, Any]) -> dict[str, Any] | None:
    """What accuracy remains when the least sure, or the least familiar, images are rejected."""
    if not len(said.labels):
        return None
    trusts = {"confidence": np.asarray(said.probabilities, dtype=np.float64).max(1)}
    if beside.familiarity is not None:
        trusts["neighbour_distance"] = np.asarray(beside.familiarity, dtype=np.float64)
    return selective.report(trusts, said.probabilities.argmax(1) == said.labels, said.patients, **options)


def _costs(task: Task, said: Predictions, beside: ReportExtras, options: dict[str, Any]) -> dict[str, Any] | None:
    """{matrix, by_cost, most_probable, paired, changed}; None without costs."""
    if beside.costs is None:
        return None
    table = np.asarray(beside.costs, dtype=np.float64)
    rows = {true: dict(zip(task.names, row, strict=True)) for true, row in zip(task.names, table.tolist(), strict=True)}
    return {"matrix": rows, **decisions.judged(said.probabilities, said.labels, table, said.patients, **options)}


def _tta(task: Task, said: Predictions, beside: ReportExtras, options: dict[str, Any]) -> dict[str, Any] | None:
    """{name, views, scores (without it), gain (with minus without)}; None without test-time augmentation."""
    tta = beside.tta
    if tta is None:
        return None
    judged = _judged(task, tta.untouched, said, options)
    gain = scores.paired(said.probabilities, tta.untouched, said.labels, said.patients, _COMPARED, **options)
    return {"name": tta.name, "views": list(tta.views), "scores": judged["scores"], "gain": gain}


def _by_patient(task: Task, said: Predictions, options: dict[str, Any]) -> dict[str, Any] | None:
    if not (said.patients >= 0).any():
        return None
    means, truth = scores.by_patient(said.probabilities, said.labels, said.patients)
    judged = scores.classification(means, truth, task.names, task.positive_index, **options)
    return {name: judged[name] for name in ("n", "counts", "scores", "confusion")}


def _baseline(
    task: Task, name: str, given: Probabilities, said: Predictions, options: dict[str, Any]
) -> dict[str, Any]:
    judged = _judged(task, given, said, options)
    gain = scores.paired(said.probabilities, given, said.labels, said.patients, _COMPARED, **options)
    return {"name": name, "scores": judged["scores"], "gain": gain, "roc": _roc(task, given, said.labels)}


def _adds(baselines: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """{over, score, difference, sentence}: what the model adds to the best baseline, by AUC where it is defined.

    The best is chosen on the scored images, which flatters the baseline and never the model.
    """
    for score in ("auc", "balanced_accuracy"):
        known = [each for each in baselines if each["scores"][score]["value"] is not None]
        if known:
            best = max(known, key=lambda each: each["scores"][score]["value"])
            gain = best["gain"][score]
            sentence = words.adds(best["name"], score, gain)
            return {"over": best["name"], "score": score, "difference": gain, "sentence": sentence}
    return None


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
