"""Evaluation of a run: every phase's arrays into scores, scores into the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import report
from contrastive_cxr.augment import TTA_SETS
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.evaluate import baselines, decisions, neighbours
from contrastive_cxr.experiment.outputs import Outputs, outputs, write_arrays, write_thumbnails
from contrastive_cxr.experiment.prepare import PHASES
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
    reference: Dataset | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Score the models of `run` on `split` of `data`; arrays and report go to `out`.

    Parameters
    ----------
    reference : Dataset, optional
        Where the training images are that neighbours come from, if not in `data` (an external test).
    """
    reference = reference or data
    finished = [name for name in PHASES if (run / name / "model.json").is_file()]
    asked: dict[PhaseName, Outputs] = {}
    known: dict[PhaseName, Outputs] = {}
    for name in finished:
        asked[name] = outputs(recipe, data, fabric, run / name, data.rows(split), recipe.evaluation.tta)
        if name == "finetune" and "embed" in known and recipe.finetune and recipe.finetune.trainable == ("classifier",):
            known[name] = known["embed"]  # its encoder is embed's to the bit: encoded once
            continue
        known[name] = outputs(recipe, reference, fabric, run / name, reference.rows("train"))
    if not fabric.is_global_zero:
        return {}
    for name in finished:
        write_arrays(out / name / "arrays", data, asked[name], reference, known[name])
    write_thumbnails(out / finished[-1] / "arrays", data, data.rows(split))
    if len(data.classes) < 2:
        return {}  # without labels there is nothing to score
    found = {name: neighbour_scores(recipe, data, reference, asked[name], known[name]) for name in finished}
    for name in finished:
        folders.write_array(out / name / "arrays" / "votes.npy", found[name].votes)
    facts = judge(recipe, data, reference, asked, found, split)
    facts["budget"] = budget(run, finished, fabric)
    folders.write_json(out / "report.json", facts)
    report.write(out)
    if tracker is not None:
        tracker.log("evaluation", 0, flat_scores(facts))
    return facts


def judge(
    recipe: Recipe, data: Dataset, reference: Dataset, asked: dict[PhaseName, Outputs],
    found: dict[PhaseName, neighbours.NeighbourScores], split: str,
) -> dict[str, Any]:  # fmt: skip
    """The facts of `report.json`: scores of the last phase, neighbours of each, baselines on the same rows."""
    options, notes = recipe.evaluation, []
    final = list(asked)[-1]
    rows = asked[final].rows
    labels, patients = data.labels[rows], data.patients[rows]
    said = asked[final].probabilities
    probabilities: NDArray[np.floating[Any]] = found[final].votes if said is None else said
    if said is None:
        notes.append("No classifier was trained: decisions are the vote of the nearest training images.")
    if options.costs and asked[final].card["link"] == "margin":
        notes.append("A hinge loss gives scores, not probabilities: the decision by cost follows their squashed form.")
    if split == "val":
        notes.append("These validation images may also have chosen the checkpoint; no test part was given.")
    lines = []
    if options.baselines and len(data.classes) > 1:
        forest = baselines.thumbnail_forest(
            reference.take(reference.rows("train")), reference.labels[reference.rows("train")], data.take(rows),
            len(data.classes), recipe.seed,
        )  # fmt: skip
        lines.append(("32x32 thumbnail forest", forest))
    return report.build(
        experiment=recipe.name,
        task=recipe.task,
        phase=final,
        split=split,
        probabilities=probabilities,
        labels=labels,
        patients=patients,
        neighbours=found,
        baselines=lines,
        costs=decisions.matrix(data.classes, options.costs) if options.costs else None,
        tta=tta_of(options.tta, asked[final].untouched),
        last_layers={name: each.last_layer for name, each in asked.items() if each.last_layer is not None},
        resamples=options.resamples,
        skipped=data.skipped,
        notes=notes,
    )


def tta_of(name: str, untouched: NDArray[np.floating[Any]] | None) -> report.Tta | None:
    """The test-time augmentation of a report; None without one."""
    return None if untouched is None else report.Tta(name, tuple(TTA_SETS[name]), untouched)


def neighbour_scores(
    recipe: Recipe, data: Dataset, reference: Dataset, asked: Outputs, known: Outputs
) -> neighbours.NeighbourScores:
    """Neighbours of the scored images among the training images, those of the same patient left out."""
    same = data is reference
    return neighbours.scores(
        known.vectors,
        reference.labels[known.rows],
        asked.vectors,
        data.labels[asked.rows],
        k=recipe.evaluation.k,
        vote=recipe.evaluation.vote,
        classes=len(data.classes),
        gallery_ids=known.rows if same else None,
        query_ids=asked.rows if same else None,
        gallery_patients=reference.patients[known.rows] if same else None,
        query_patients=data.patients[asked.rows] if same else None,
    )


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
