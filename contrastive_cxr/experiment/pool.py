"""Several runs of one recipe, over folds or seeds, and their scores pooled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr import engine, report
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluate import decisions
from contrastive_cxr.evaluate.fitting import Validation
from contrastive_cxr.evaluate.repeats import mean_scores
from contrastive_cxr.evaluate.scores import by_patient
from contrastive_cxr.experiment import disk, finished, robustness, subgroups
from contrastive_cxr.experiment.door import same_recipe
from contrastive_cxr.experiment.judge import Blind
from contrastive_cxr.experiment.prepare import check_weights, present, second_door
from contrastive_cxr.experiment.scored import joined, patient_numbers, said, table
from contrastive_cxr.experiment.single import audit_images, run_single
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders


def run_folds(recipe: Recipe, out: Path, folds: int, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Run each of `folds` folds into `out/fold<i>`; every image is scored once, by the run that never saw it.

    Returns
    -------
    Path
        `out`, with `report.json` over the pooled predictions and `pooled.json` with each fold's scores.
    """
    parts = {f"fold{i}": with_fold(recipe, folds, i) for i in range(folds)}
    return run_all(recipe, out, parts, resume, overwrite)


def run_seeds(recipe: Recipe, out: Path, seeds: int, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Run the recipe with seeds `seed, seed + 1, ...` into `out/seed<s>`, on one split; scores are means over seeds.

    Returns
    -------
    Path
        `out`, with `report.json` over the mean probabilities and `pooled.json` with each seed's scores.
    """
    parts = {f"seed{s}": recipe.model_copy(update={"seed": s}) for s in range(recipe.seed, recipe.seed + seeds)}
    return run_all(recipe, out, parts, resume, overwrite)


def with_fold(recipe: Recipe, folds: int, fold: int) -> Recipe:
    """The recipe on fold `fold` of `folds`."""
    split = recipe.data.split.model_copy(update={"kind": "folds", "folds": folds, "fold": fold})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"split": split})})


def run_all(recipe: Recipe, out: Path, parts: dict[str, Recipe], resume: bool, overwrite: bool) -> Path:
    """Run every part into its own folder, then pool."""
    if recipe.cascade is not None:
        raise RequestError("--folds and --seeds pool runs of one task; run a cascade's recipe without them")
    if len(recipe.task.names) < 2:
        raise RequestError(f"task '{recipe.task.name}' has one class, so --folds and --seeds have no scores to pool")
    sets = {name: open_dataset(part.data, part.task) for name, part in parts.items()}
    for name, part in parts.items():
        second_door(part, sets[name], present(part))
    if not resume:
        check_weights(recipe)
    fabric = engine.launch(recipe.runtime)
    if fabric.is_global_zero:
        disk.require(out, [(part, sets[name], present(part)) for name, part in parts.items()])
    with folders.held(out, first=fabric.is_global_zero):
        if fabric.is_global_zero:
            same_recipe(recipe, out, resume)
            folders.create(out, resume=resume, overwrite=overwrite)
            finished.forget(out)
            folders.write_text(out / "recipe.yaml", recipes.record(recipe))
            folders.write_json(out / "parts.json", {"experiment": recipe.name, "parts": list(parts)})
        fabric.barrier()
        audit_images(recipe, next(iter(sets.values())), fabric, out)
        for name, part in parts.items():
            run_single(part, out / name, resume=(out / name / folders.MARK).is_file(), data=sets[name])
        if fabric.is_global_zero:
            pool(recipe, out, list(parts))
            finished.record(out, list(parts))
        fabric.barrier()
    return out


def pool(recipe: Recipe, out: Path, parts: list[str]) -> dict[str, Any]:
    """Join the parts' predictions by image (a mean where several parts scored it) and report on them."""
    reports = {name: folders.read_json(out / name / "report.json") for name in parts}
    final = reports[parts[0]]["phase"]
    arrays = [out / name / final / "arrays" for name in parts]
    rows, probabilities, labels = joined(arrays)
    patients, options = patient_numbers(rows), recipe.evaluation
    beside = report.Beside(
        baselines=pooled_baselines(list(reports.values()), arrays),
        validation=pooled_validation(arrays, rows),
        targets=options.target.wanted(),
        costs=decisions.matrix(recipe.task.names, options.costs) if options.costs else None,
        notes=[
            f"Pooled over {len(parts)} runs: {', '.join(parts)}.",
            *([f"With test-time augmentation: {options.tta}."] if options.tta != "none" else []),
        ],
    )
    facts = report.build(
        report.Subject(recipe.name, recipe.task, final, reports[parts[0]]["split"]),
        report.Predictions(probabilities, labels, patients),
        beside,
        resamples=options.resamples,
    )
    facts["subgroups"] = subgroups.of_rows(recipe, rows, probabilities, labels, patients)
    each = list(reports.values())
    facts["robustness"] = robustness.pooled(each, arrays, probabilities, labels, patients, options.resamples)
    folders.write_json(out / "report.json", facts)
    scores = over_parts(reports)
    add_intervals(scores, arrays, recipe.evaluation.resamples)
    folders.write_json(out / "pooled.json", {"parts": parts, "scores": scores})
    report.write(out)
    return facts


def pooled_baselines(reports: list[dict[str, Any]], arrays: list[Path]) -> Blind:
    """The parts' blind baselines, their probabilities a mean where several parts scored an image."""
    names = [[each["name"] for each in facts["baselines"]] for facts in reports]
    if not names[0] or any(other != names[0] for other in names):
        return []
    stacked = joined(arrays, array="baselines")[1]
    return [(name, stacked[:, place]) for place, name in enumerate(names[0])]


def pooled_validation(arrays: list[Path], rows: pd.DataFrame) -> Validation | None:
    """The validation rows of runs on one split; None where they are scored themselves, by another fold."""
    if not all((each / "val_probabilities.npy").is_file() for each in arrays):
        return None
    kept, probabilities, labels = joined(arrays, part="val_", array="probabilities")
    places = [set(zip(each["root"], each["path"], strict=True)) for each in (kept, rows)]
    return None if places[0] & places[1] else Validation(probabilities, labels)


def add_intervals(scores: dict[str, dict[str, Any]], arrays: list[Path], resamples: int) -> None:
    """Give each mean over seeds its interval `low`, `high`; folds score different images and get none."""
    tables = [table(each / "rows.csv") for each in arrays]
    if any(not each[["root", "path"]].equals(tables[0][["root", "path"]]) for each in tables):
        return
    labels, patients = folders.read_array(arrays[0] / "labels.npy"), patient_numbers(tables[0])
    probabilities = [said(each).astype(np.float64) for each in arrays]
    found = {"image": mean_scores(probabilities, labels, patients, resamples)}
    if "patient" in scores:
        merged = [by_patient(each, labels, patients) for each in probabilities]
        found["patient"] = mean_scores([each for each, _ in merged], merged[0][1], None, resamples)
    for unit, entries in found.items():
        for name, entry in entries.items():
            if name in scores[unit]:
                scores[unit][name] |= {"low": entry["low"], "high": entry["high"]}


def over_parts(reports: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each score's mean and standard deviation over the parts, by image and by patient, with the single values."""
    found: dict[str, dict[str, Any]] = {}
    for unit in ("image", "patient"):
        units = [facts if unit == "image" else facts.get("by_patient") for facts in reports.values()]
        each = [facts["scores"] for facts in units if facts is not None]
        if len(each) < len(units):
            continue
        found[unit] = {}
        for name in each[0]:
            values = [scores[name]["value"] for scores in each]
            if None not in values:
                spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
                found[unit][name] = {"mean": float(np.mean(values)), "sd": spread, "values": values}
    return found
