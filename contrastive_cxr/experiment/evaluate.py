"""Evaluation of a run: every phase's arrays into scores, scores into the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contrastive_cxr import report
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.experiment import kept, subgroups
from contrastive_cxr.experiment.judge import (
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
from contrastive_cxr.experiment.outputs import Outputs, outputs, write_arrays, write_thumbnails
from contrastive_cxr.experiment.prepare import PHASES
from contrastive_cxr.experiment.voted import Voters
from contrastive_cxr.phases import PhaseName
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run.tracking import Tracker


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
    return score_split(recipe, data, fabric, out, out, split, tracker)


def score_split(
    recipe: Recipe, data: Dataset, fabric: Fabric, run: Path, out: Path, split: str, tracker: Tracker | None = None,
    reference: Dataset | None = None, notes: Sequence[str] = (), voters: Voters | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score the models of `run` on `split` of `data`; arrays and report go to `out`.

    Parameters
    ----------
    reference : Dataset, optional
        Where the training images are that neighbours come from, if not in `data` (an external test).
    notes : sequence of str
        Sentences that the report's reader needs, before those of the evaluation itself.
    voters : Voters, optional
        A gallery whose vote is scored in the place of the classifier; later phases than its own are left out.
    """
    scene = Scene(recipe, data, reference or data)
    finished = [name for name in PHASES if (run / name / "model.json").is_file()]
    asked: dict[PhaseName, Outputs] = {}
    known: dict[PhaseName, Outputs] = {}
    if voters is not None:
        finished = finished[: finished.index(voters.phase) + 1]
    trained = scene.reference.rows("train")
    for name in finished:
        asked[name] = outputs(recipe, data, fabric, run / name, data.rows(split), recipe.evaluation.tta)
        if name == "finetune" and "embed" in known and recipe.finetune and recipe.finetune.trainable == ("classifier",):
            known[name] = known["embed"]  # its encoder is embed's to the bit: encoded once
            continue
        known[name] = kept.known(recipe, scene.reference, fabric, run / name, asked[name], trained)
    reserved = reserve(scene, fabric, run / finished[-1], split) if len(data.classes) > 1 else None
    if not fabric.is_global_zero:
        return {}
    if voters is not None:
        asked[voters.phase] = voters.vote(data, asked[voters.phase], strangers=reference is not None)
        reserved = None if reserved is None else voters.vote(scene.reference, reserved, strangers=False)
        notes = [voters.note(), *notes]
    for name in finished:
        write_arrays(out / name / "arrays", data, asked[name], scene.reference, known[name])
        kept.record(out / name / "arrays", known[name], scene.reference)
    write_thumbnails(out / finished[-1] / "arrays", data, data.rows(split))
    if len(data.classes) < 2:
        return {}  # without labels there is nothing to score
    found = {name: neighbour_scores(recipe, data, scene.reference, asked[name], known[name]) for name in finished}
    for name in finished:
        folders.write_array(out / name / "arrays" / "votes.npy", found[name].votes)
    facts = report_on(scene, Said(asked, known, reserved, found), out, split)
    facts["notes"] = [*notes, *facts["notes"]]
    facts["budget"] = budget(run, finished, fabric)
    folders.write_json(out / "report.json", facts)
    report.write(out, run)
    if tracker is not None:
        tracker.log("evaluation", 0, flat_scores(facts))
    return facts


def report_on(scene: Scene, said: Said, out: Path, split: str) -> dict[str, Any]:
    """The facts of `report.json`; the last phase's arrays get the baselines' and the validation rows' probabilities."""
    arrays, final = out / said.final / "arrays", said.asked[said.final]
    blind, validated = blind_baselines(scene, final.rows), validation(scene, said)
    write_blind(arrays, blind)
    write_validation(arrays, scene, said, validated)
    facts = judge(scene, said, validated, blind, split)
    facts["subgroups"] = subgroups.of_rows(
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
