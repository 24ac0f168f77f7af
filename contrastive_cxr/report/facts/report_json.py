"""The facts of `report.json`, made from arrays; docs/reference/report.md describes every field."""

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
    subject: Subject, predictions: Predictions, extras: ReportExtras = _NOTHING, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Score one model on one part of the images.

    Parameters
    ----------
    resamples : bootstrap resamples of every interval

    Returns
    -------
    dict
        The contents of `report.json`, in types that JSON has.
    """
    task, options = subject.task, {"resamples": resamples, "seed": seed}
    scored = _scored(task, predictions.probabilities, predictions, options)
    baselines = [_baseline(task, *each, predictions, options) for each in extras.baselines]
    neighbour_gain = phase_gains.of_neighbours(extras.neighbours, predictions.patients, options)
    answer_gain = phase_gains.of_answers(extras.answers, predictions.labels, predictions.patients, options)
    facts = {
        "version": VERSION,
        "experiment": subject.experiment,
        "task": {"name": task.name, "classes": list(task.names), "positive": task.names[task.positive_index]},
        "phase": subject.phase,
        "split": subject.split,
        **{name: scored[name] for name in ("n", "groups", "counts", "scores", "per_class", "confusion")},
        "patients": len(np.unique(predictions.patients[predictions.patients >= 0])) or None,
        "by_patient": _by_patient(task, predictions, options),
        "roc": _roc(task, predictions.probabilities, predictions.labels),
        "neighbours": {
            name: each.with_intervals(predictions.patients, **options) for name, each in extras.neighbours.items()
        },
        "neighbour_gain": neighbour_gain,
        "answer_gain": answer_gain,
        "advice": None if subject.split == "train" else phase_gains.advice(neighbour_gain, answer_gain),
        "baselines": baselines,
        "adds": _adds(baselines),
        "calibration": _calibration(task, predictions, extras, options),
        "thresholds": _thresholds(task, predictions, extras),
        "selective": _selective(predictions, extras, options),
        "cascade": None,
        "robustness": None,
        "external_drop": None,
        "audit": None,
        "made": None,
        "costs": _costs(task, predictions, extras, options),
        "tta": _tta(task, predictions, extras, options),
        "last_layer": {name: dict(each) for name, each in extras.last_layers.items()},
        "budget": dict(extras.budget),
        "skipped": [] if extras.skipped is None else extras.skipped.to_dict("records"),
        "notes": list(extras.notes),
    }
    return dict(plain(facts))


def build_cascade(
    subject: Subject,
    joined: Predictions,
    stages: Stages,
    extras: ReportExtras = _NOTHING,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Score the joined stages of a cascade, and compare them with the flat model on the same rows.

    Parameters
    ----------
    joined : Predictions
        The joined probabilities, as from `metrics.cascade.join`.

    Returns
    -------
    dict
        As from `build`, for the joined probabilities, with `cascade`: {flat, verdicts, errors, stages, paired}.
    """
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    facts = build(subject, joined, extras, **options)
    task, labels, patients = subject.task, joined.labels, joined.patients
    hard = np.eye(len(task.names))[stages.verdicts]
    compared = {
        name: _scored(task, given, joined, options) for name, given in {"flat": stages.flat, "verdicts": hard}.items()
    }
    for name in ("auc", "average_precision", "brier"):
        del compared["verdicts"]["scores"][name]  # decisions have no ranking and no probability
    facts["cascade"] = plain(
        {
            **{name: {key: each[key] for key in ("scores", "confusion")} for name, each in compared.items()},
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


def _scored(task: Task, given: Probabilities, predictions: Predictions, options: dict[str, Any]) -> dict[str, Any]:
    return scores.classification(
        given, predictions.labels, task.names, task.positive_index, predictions.patients, **options
    )


def _calibration(task: Task, predictions: Predictions, extras: ReportExtras, options: dict[str, Any]) -> dict[str, Any]:
    """As from `calibration.report`, and on which images the temperature was fitted: {fitted_on, fitted_images}."""
    probabilities = np.asarray(predictions.probabilities, dtype=np.float64)
    found = calibration.report(
        probabilities, predictions.labels, task.positive_index, predictions.patients, extras.validation, **options
    )
    return found | _fitted(predictions, extras)


def _fitted(predictions: Predictions, extras: ReportExtras) -> dict[str, Any]:
    """Whether the fit used validation images, or the scored images by cross-fitting; and how many."""
    if extras.validation is None:
        return {"fitted_on": "scored", "fitted_images": len(predictions.labels)}
    return {"fitted_on": "validation", "fitted_images": len(extras.validation.labels)}


def _thresholds(task: Task, predictions: Predictions, extras: ReportExtras) -> list[dict[str, Any]]:
    """As from `thresholds.report`: the positive class against the rest."""
    number = task.positive_index
    given = np.asarray(predictions.probabilities, dtype=np.float64)[:, number]
    lines = thresholds.report(
        given, predictions.labels == number, extras.targets, predictions.patients, extras.validation, number=number
    )
    return [line | _fitted(predictions, extras) for line in lines]


def _selective(predictions: Predictions, extras: ReportExtras, options: dict[str, Any]) -> dict[str, Any] | None:
    """The accuracy when the images with the least confidence, or with the most distant neighbours, are rejected."""
    if not len(predictions.labels):
        return None
    trusts = {"confidence": np.asarray(predictions.probabilities, dtype=np.float64).max(1)}
    if extras.familiarity is not None:
        trusts["neighbour_distance"] = np.asarray(extras.familiarity, dtype=np.float64)
    return selective.report(
        trusts, predictions.probabilities.argmax(1) == predictions.labels, predictions.patients, **options
    )


def _costs(
    task: Task, predictions: Predictions, extras: ReportExtras, options: dict[str, Any]
) -> dict[str, Any] | None:
    """{matrix, by_cost, most_probable, paired, changed}; None without costs."""
    if extras.costs is None:
        return None
    table = np.asarray(extras.costs, dtype=np.float64)
    rows = {true: dict(zip(task.names, row, strict=True)) for true, row in zip(task.names, table.tolist(), strict=True)}
    return {
        "matrix": rows,
        **decisions.judged(predictions.probabilities, predictions.labels, table, predictions.patients, **options),
    }


def _tta(task: Task, predictions: Predictions, extras: ReportExtras, options: dict[str, Any]) -> dict[str, Any] | None:
    """{name, views, scores (without it), gain (with minus without)}; None without test-time augmentation."""
    tta = extras.tta
    if tta is None:
        return None
    scored = _scored(task, tta.untouched, predictions, options)
    gain = scores.paired(
        predictions.probabilities, tta.untouched, predictions.labels, predictions.patients, _COMPARED, **options
    )
    return {"name": tta.name, "views": list(tta.views), "scores": scored["scores"], "gain": gain}


def _by_patient(task: Task, predictions: Predictions, options: dict[str, Any]) -> dict[str, Any] | None:
    if not (predictions.patients >= 0).any():
        return None
    means, truth = scores.by_patient(predictions.probabilities, predictions.labels, predictions.patients)
    scored = scores.classification(means, truth, task.names, task.positive_index, **options)
    return {name: scored[name] for name in ("n", "counts", "scores", "confusion")}


def _baseline(
    task: Task, name: str, given: Probabilities, predictions: Predictions, options: dict[str, Any]
) -> dict[str, Any]:
    scored = _scored(task, given, predictions, options)
    gain = scores.paired(
        predictions.probabilities, given, predictions.labels, predictions.patients, _COMPARED, **options
    )
    return {"name": name, "scores": scored["scores"], "gain": gain, "roc": _roc(task, given, predictions.labels)}


def _adds(baselines: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """{over, score, difference, sentence}: the model minus the best baseline, by AUC if it is defined.

    The best baseline is chosen on the scored images; this favours the baseline, and never the model.
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
    """{class: [[false positive rate, true positive rate], ...]}, at most 200 points; of two only the positive."""
    numbers = range(len(task.names)) if len(task.names) > 2 else [task.positive_index]
    curves = {}
    for number in numbers:
        truth = labels == number
        if truth.any() and not truth.all():
            false, true, _ = roc_curve(truth, np.asarray(probabilities, dtype=np.float64)[:, number])
            kept = np.unique(np.linspace(0, len(false) - 1, min(len(false), _ROC_POINTS)).round().astype(int))
            curves[task.names[number]] = np.stack([false[kept], true[kept]], axis=1).round(4).tolist()
    return curves
