"""Evaluation of a run: the models predict, the predictions give scores, and the scores give the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contrastive_cxr import report, terminal
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import (
    audit_findings,
    cached_embeddings,
    class_maps,
    external_drop,
    robustness,
    tracked_scores,
)
from contrastive_cxr.evaluation.predictions import (
    Outputs,
    outputs,
    write_arrays,
    write_thumbnails,
)
from contrastive_cxr.evaluation.report_facts import (
    EvaluationContext,
    PhasePredictions,
    blind_baselines,
    build_report_facts,
    fit_on_validation,
    neighbour_scores,
    origin,
    predict_validation,
    write_blind,
    write_validation,
)
from contrastive_cxr.preflight import subgroup_columns
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_layout import PhaseName, phases_with_model

BESIDE_PHASES = 10  # stages of scoring that do not belong to one phase


def score_run(
    recipe: Recipe, data: Dataset, fabric: Fabric, out: Path, tracker: Tracker | None = None
) -> dict[str, Any]:
    """Score every finished phase of `out` on the test part (or on val if there is none), and write the report.

    Returns
    -------
    dict
        The contents of `report.json`.
    """
    split = "test" if len(data.rows("test")) else "val"
    return score_split(EvaluationContext(recipe, data, data), fabric, out, out, split, tracker)


def score_split(
    context: EvaluationContext, fabric: Fabric, run: Path, out: Path, split: str, tracker: Tracker | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Score the models of `run` on a part of the context's images; write arrays and report into `out`.

    Parameters
    ----------
    split : str
        The part of `context.data` that is scored.
    notes : sequence of str
        Sentences for the reader of the report; they come before the notes of the evaluation itself.
    """
    with terminal.Stages("scoring", 2 * len(finished_phases(run)) + BESIDE_PHASES, fabric.is_global_zero):
        return _score_split(context, fabric, run, out, split, tracker, notes)


def _score_split(
    context: EvaluationContext, fabric: Fabric, run: Path, out: Path, split: str, tracker: Tracker | None,
    notes: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    data, reference = context.data, context.reference
    preds = run_inference(context, fabric, run, split)
    changed = robustness.predict_under_changes(context, fabric, run, preds)
    if not fabric.is_global_zero:
        return {}
    terminal.stage("writing the arrays")
    for name, query in preds.query.items():
        write_arrays(out / name / "arrays", data, query, reference, preds.train[name])
        cached_embeddings.record(out / name / "arrays", preds.train[name], reference)
    write_thumbnails(out / preds.final / "arrays", data, data.rows(split))
    robustness.write(out / preds.final / "arrays", changed)
    if len(data.classes) < 2:
        return {}  # without labels there is nothing to score
    terminal.stage("nearest neighbours")
    found = {
        name: neighbour_scores(context.recipe, data, reference, query, preds.train[name])
        for name, query in preds.query.items()
    }
    for name, each in found.items():
        folders.write_array(out / name / "arrays" / "votes.npy", each.votes)
    preds = replace(preds, neighbours=found)
    facts = report_on(context, preds, out, split)
    terminal.stage("intervals under benign changes")
    facts["robustness"] = robustness.facts_of(context, preds, changed)
    strangers = data is not reference and context.voters is None
    facts["external_drop"] = external_drop.drop(run, facts) if strangers else None
    unknown = int((data.patients[preds.query[preds.final].rows] < 0).sum())
    facts["audit"] = audit_findings.findings_of(run, facts, unknown, external=data is not reference)
    facts["notes"] = [*notes, *facts["notes"], *([changed.note] if changed.note else [])]
    facts["budget"] = budget(run, preds, fabric)
    facts["made"] = origin(context.recipe)
    terminal.stage("maps of the cases")
    class_maps.write_of_run(out / preds.final / "arrays", data, fabric, run / preds.final, preds.query[preds.final])
    folders.write_json(out / "report.json", facts)
    terminal.stage("report")
    report.write(out, run)
    if tracker is not None:
        tracker.log("evaluation", 0, flat_scores(facts))
        if tracker.active:
            tracker.scores(lambda: tracked_scores.of(context, preds, facts))
    return facts


def run_inference(context: EvaluationContext, fabric: Fabric, run: Path, split: str) -> PhasePredictions:
    """The predictions of the finished phases on scored, training and validation images; neighbours are found later.

    If a gallery votes, its vote replaces the classifier of its phase, and later phases are left out.
    """
    recipe, voters = context.recipe, context.voters
    finished = finished_phases(run)
    if voters is not None:
        finished = finished[: finished.index(voters.phase) + 1]
    query: dict[PhaseName, Outputs] = {}
    train: dict[PhaseName, Outputs] = {}
    for name in finished:
        terminal.stage(f"{split} images, {name}")
        query[name] = outputs(recipe, context.data, fabric, run / name, context.data.rows(split), recipe.evaluation.tta)
        if name == "finetune" and "embed" in train and recipe.finetune and recipe.finetune.frozen_encoder:
            train[name] = train["embed"]  # the encoder is that of embed, bit for bit: encode once
            continue
        rows = context.reference.rows("train")
        terminal.stage(f"train images, {name}")
        train[name] = cached_embeddings.load_or_embed_train(
            recipe, context.reference, fabric, run / name, query[name], rows
        )
    terminal.stage("val images")
    validation = (
        predict_validation(context, fabric, run / finished[-1], split) if len(context.data.classes) > 1 else None
    )
    if voters is not None:
        terminal.stage("vote of the gallery")
        strangers = context.data is not context.reference
        query[voters.phase] = voters.vote(context.data, query[voters.phase], strangers=strangers)
        validation = None if validation is None else voters.vote(context.reference, validation, strangers=False)
    return PhasePredictions(query, train, validation, {})


def finished_phases(run: Path) -> list[PhaseName]:
    """The phases of a run that have a model, in order.

    Raises
    ------
    RequestError
        No phase has a model.
    """
    finished = phases_with_model(run)
    if not finished:
        raise RequestError(f"{run} has no finished phase to score; finish one first: ccxr run ... --out {run} --resume")
    return finished


def report_on(context: EvaluationContext, preds: PhasePredictions, out: Path, split: str) -> dict[str, Any]:
    """The facts of `report.json`; writes the probabilities of baselines and validation rows."""
    arrays, final = out / preds.final / "arrays", preds.query[preds.final]
    terminal.stage("blind baselines")
    blind, validated = blind_baselines(context, final.rows), fit_on_validation(context, preds)
    write_blind(arrays, blind)
    write_validation(arrays, context, preds, validated)
    terminal.stage("scores with intervals")
    facts = build_report_facts(context, preds, validated, blind, split)
    facts["subgroups"] = subgroup_columns.of_rows(
        context.recipe, context.data.manifest_table().iloc[final.rows], preds.probabilities,
        context.data.labels[final.rows], context.data.patients[final.rows],
    )  # fmt: skip
    return facts


def budget(run: Path, preds: PhasePredictions, fabric: Fabric) -> dict[str, Any]:
    """What the training of each phase took: epochs, steps, images, minutes; the device; the precision of the scores."""
    environment = folders.read_json(run / "environment.json")
    spent = {name: folders.read_json(run / name / "done.json") for name in preds.query}
    settled = preds.query[preds.final].precision
    return {
        **({} if settled is None else {"scored_in": settled.words()}),
        "device": environment.get("device", str(fabric.device)),
        "processes": fabric.world_size,
        "phases": {
            name: {
                "epochs": done["epochs"],
                "steps": done["steps"],
                "images": done["images_seen"],
                "minutes": round(done["seconds"] / 60, 2),
                "peak_memory_mib": done.get("peak_memory_mib"),  # a phase of an earlier version does not record it
            }
            for name, done in spent.items()
        },
    }


def flat_scores(facts: dict[str, Any]) -> dict[str, float]:
    """The scores as `name: value`, without undefined ones."""
    return {name: entry["value"] for name, entry in facts["scores"].items() if entry["value"] is not None}
