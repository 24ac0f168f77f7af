"""Evaluation of a run: every phase's arrays into scores, scores into the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contrastive_cxr import report
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import cached_embeddings, external_drop, robustness
from contrastive_cxr.evaluation.predictions import Outputs, outputs, write_arrays, write_thumbnails
from contrastive_cxr.evaluation.report_facts import (
    Said,
    Scene,
    blind_baselines,
    judge,
    neighbour_scores,
    reserve,
    validation,
    write_blind,
    write_validation,
)
from contrastive_cxr.preflight import subgroup_columns
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_layout import PhaseName, phases_with_model


def score_run(
    recipe: Recipe, data: Dataset, fabric: Fabric, out: Path, tracker: Tracker | None = None
) -> dict[str, Any]:
    """Score every finished phase of `out` on the test part (validation where there is none), and write the report.

    Returns
    -------
    dict
        The contents of `report.json`.
    """
    split = "test" if len(data.rows("test")) else "val"
    return score_split(Scene(recipe, data, data), fabric, out, out, split, tracker)


def score_split(
    scene: Scene, fabric: Fabric, run: Path, out: Path, split: str, tracker: Tracker | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Score the models of `run` on a part of the scene's images; arrays and report go to `out`.

    Parameters
    ----------
    split : str
        The part of `scene.data`.
    notes : sequence of str
        Sentences that the report's reader needs, before those of the evaluation itself.
    """
    data, reference = scene.data, scene.reference
    said = asked_of(scene, fabric, run, split)
    changed = robustness.ask(scene, fabric, run, said)
    if not fabric.is_global_zero:
        return {}
    for name, asked in said.asked.items():
        write_arrays(out / name / "arrays", data, asked, reference, said.known[name])
        cached_embeddings.record(out / name / "arrays", said.known[name], reference)
    write_thumbnails(out / said.final / "arrays", data, data.rows(split))
    robustness.write(out / said.final / "arrays", changed)
    if len(data.classes) < 2:
        return {}  # without labels there is nothing to score
    found = {
        name: neighbour_scores(scene.recipe, data, reference, asked, said.known[name])
        for name, asked in said.asked.items()
    }
    for name, each in found.items():
        folders.write_array(out / name / "arrays" / "votes.npy", each.votes)
    said = replace(said, found=found)
    facts = report_on(scene, said, out, split)
    facts["robustness"] = robustness.facts_of(scene, said, changed)
    strangers = data is not reference and scene.voters is None
    facts["external_drop"] = external_drop.drop(run, facts) if strangers else None
    facts["notes"] = [*notes, *facts["notes"], *([changed.note] if changed.note else [])]
    facts["budget"] = budget(run, list(said.asked), fabric)
    folders.write_json(out / "report.json", facts)
    report.write(out, run)
    if tracker is not None:
        tracker.log("evaluation", 0, flat_scores(facts))
    return facts


def asked_of(scene: Scene, fabric: Fabric, run: Path, split: str) -> Said:
    """What the finished phases of `run` say of the scored, the training and the validation images; no neighbours yet.

    Where a gallery votes, its shares stand in the place of its phase's classifier, and later phases are left out.
    """
    recipe, voters = scene.recipe, scene.voters
    finished = finished_phases(run)
    if voters is not None:
        finished = finished[: finished.index(voters.phase) + 1]
    asked: dict[PhaseName, Outputs] = {}
    known: dict[PhaseName, Outputs] = {}
    for name in finished:
        asked[name] = outputs(recipe, scene.data, fabric, run / name, scene.data.rows(split), recipe.evaluation.tta)
        if name == "finetune" and "embed" in known and recipe.finetune and recipe.finetune.frozen_encoder:
            known[name] = known["embed"]  # its encoder is embed's to the bit: encoded once
            continue
        rows = scene.reference.rows("train")
        known[name] = cached_embeddings.known(recipe, scene.reference, fabric, run / name, asked[name], rows)
    reserved = reserve(scene, fabric, run / finished[-1], split) if len(scene.data.classes) > 1 else None
    if voters is not None:
        strangers = scene.data is not scene.reference
        asked[voters.phase] = voters.vote(scene.data, asked[voters.phase], strangers=strangers)
        reserved = None if reserved is None else voters.vote(scene.reference, reserved, strangers=False)
    return Said(asked, known, reserved, {})


def finished_phases(run: Path) -> list[PhaseName]:
    """The phases of a run that have a model, in order.

    Raises
    ------
    RequestError
        None has.
    """
    finished = phases_with_model(run)
    if not finished:
        raise RequestError(f"{run} has no finished phase to score; finish one first: ccxr run ... --out {run} --resume")
    return finished


def report_on(scene: Scene, said: Said, out: Path, split: str) -> dict[str, Any]:
    """The facts of `report.json`; the last phase's arrays get the baselines' and the validation rows' probabilities."""
    arrays, final = out / said.final / "arrays", said.asked[said.final]
    blind, validated = blind_baselines(scene, final.rows), validation(scene, said)
    write_blind(arrays, blind)
    write_validation(arrays, scene, said, validated)
    facts = judge(scene, said, validated, blind, split)
    facts["subgroups"] = subgroup_columns.of_rows(
        scene.recipe, scene.data.manifest_table().iloc[final.rows], said.probabilities,
        scene.data.labels[final.rows], scene.data.patients[final.rows],
    )  # fmt: skip
    return facts


def budget(run: Path, finished: list[PhaseName], fabric: Fabric) -> dict[str, Any]:
    """What was spent on each phase: epochs, steps, images, minutes; and on what device."""
    environment = folders.read_json(run / "environment.json")
    spent = {name: folders.read_json(run / name / "done.json") for name in finished}
    return {
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
    """The scores as `name: value`, undefined ones left out."""
    return {name: entry["value"] for name, entry in facts["scores"].items() if entry["value"] is not None}
