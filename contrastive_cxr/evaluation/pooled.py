"""Several runs of one recipe scored together: as one predictor, and as the mean of their single scores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr import report
from contrastive_cxr.evaluation import audit_findings, class_maps, external_drop, robustness
from contrastive_cxr.evaluation.report_facts import Blind, origin
from contrastive_cxr.metrics import decisions
from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.metrics.scores import by_patient
from contrastive_cxr.metrics.statistics.repeats import mean_scores
from contrastive_cxr.preflight import subgroup_columns
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_folder.results import joined, patient_numbers, probabilities_of, table
from contrastive_cxr.run_layout import kind_of

TITLES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "AUC"}


def is_pool(run: Path) -> bool:
    """Whether a folder is a run over seeds or folds (a pool)."""
    return (run / "parts.json").is_file()


def parts_of(run: Path) -> list[str]:
    """Names of the runs that a pool consists of, `seed<s>` or `fold<i>`."""
    return [str(name) for name in folders.read_json(run / "parts.json")["parts"]]


def pool(recipe: Recipe, out: Path, places: Mapping[str, Path], run: Path | None = None) -> dict[str, Any]:
    """Join the predictions of the runs by image (the mean, if several runs scored it) and write their report.

    Parameters
    ----------
    out : Path
        Receives `report.json`, `report.html`, `pooled.json`; and `parts.json` if it does not exist yet.
    places : mapping
        The folder of each run by its name, with `report.json` and `<phase>/arrays/`.
    run : Path, optional
        The pool whose models were scored, if `out` is another folder.
    """
    parts = list(places)
    reports = {name: folders.read_json(place / "report.json") for name, place in places.items()}
    arrays = [place / reports[parts[0]]["phase"] / "arrays" for place in places.values()]
    alone = not same_images(arrays)  # folds on their own images: one run scored each of them
    scores = over_parts(reports)
    add_intervals(scores, arrays, recipe.evaluation.resamples)
    facts = facts_of(recipe, reports, arrays, words(kind_of(parts), scores, len(parts), alone, tested(reports)))
    facts["external_drop"] = None if run is None else external_drop.drop(run, facts)
    unknown = int((patient_numbers(joined(arrays)[0]) < 0).sum())
    external = run is not None and out.name.startswith("external-")
    facts["audit"] = audit_findings.findings_of(run or out, facts, unknown, external=external)
    facts["pool"] = {"kind": kind_of(parts), "parts": parts, "one_predictor": not alone, "each": scores}
    facts["made"] = origin(recipe)
    folders.write_json(out / "report.json", facts)
    one = None if alone else {"image": facts["scores"], "patient": (facts["by_patient"] or {}).get("scores")}
    folders.write_json(out / "pooled.json", {"parts": parts, "scores": scores, "one_predictor": one})
    write_cases(out, list(places), reports[parts[0]]["phase"], arrays, run or out)
    if not is_pool(out):
        below = {name: os.path.relpath(place, out) for name, place in places.items()}
        folders.write_json(out / "parts.json", {"experiment": recipe.name, "parts": parts, "folders": below})
    report.write(out, run)
    return facts


def write_cases(out: Path, parts: Sequence[str], phase: str, arrays: Sequence[Path], run: Path) -> None:
    """Write `OUT/arrays`: rows, labels and mean probabilities of the scored images, and the maps of the cases."""
    rows, probabilities, labels = joined(arrays)
    place = out / "arrays"
    place.mkdir(parents=True, exist_ok=True)
    folders.write_table(place / "rows.csv", rows.drop(columns=["p", "y"]))
    folders.write_array(place / "labels.npy", labels)
    folders.write_array(place / "probabilities.npy", probabilities.astype(np.float32))
    class_maps.write_of_pool(place, [run / name / phase for name in parts], arrays, rows, probabilities, labels)


def tested(reports: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the runs scored their test images."""
    return all(each["split"] == "test" for each in reports.values())


def facts_of(
    recipe: Recipe, reports: Mapping[str, Mapping[str, Any]], arrays: list[Path], whose: str
) -> dict[str, Any]:
    """The report on the joined predictions; the note `whose` says which scores are those of the pool."""
    each, options = [dict(one) for one in reports.values()], recipe.evaluation
    rows, probabilities, labels = joined(arrays)
    patients = patient_numbers(rows)
    beside = report.ReportExtras(
        baselines=pooled_baselines(each, arrays),
        validation=pooled_validation(arrays, rows),
        targets=options.target.wanted(),
        costs=decisions.matrix(recipe.task.names, options.costs) if options.costs else None,
        notes=[
            f"Pooled over {len(reports)} runs: {', '.join(reports)}.",
            whose,
            *shared_notes(each),
            *([f"With test-time augmentation: {options.tta}."] if options.tta != "none" else []),
        ],
    )
    facts = report.build(
        report.Subject(recipe.name, recipe.task, each[0]["phase"], each[0]["split"]),
        report.Predictions(probabilities, labels, patients),
        beside,
        resamples=options.resamples,
    )
    facts["subgroups"] = subgroup_columns.of_rows(recipe, rows, probabilities, labels, patients)
    facts["robustness"] = robustness.pooled(each, arrays, probabilities, labels, patients, options.resamples)
    if facts["robustness"] is None and any(one.get("robustness") for one in each):
        facts["notes"].append(
            "Robustness was measured for some of the runs alone, so there is none of all together; measure it with "
            "ccxr evaluate RUN --robustness."
        )
    return facts


def words(kind: str, scores: Mapping[str, Mapping[str, Any]], count: int, alone: bool, unseen: bool = True) -> str:
    """A sentence: which scores are those of the pool as one predictor, and which those of its runs.

    Examples
    --------
    >>> words("seeds", {"image": {"auc": {"mean": 0.9}}}, 3, False).partition("; ")[2]
    'the single ones have a mean AUC of 0.900.'
    """
    means = scores.get("image", {})
    each = ", ".join(f"{word} of {means[name]['mean']:.3f}" for name, word in TITLES.items() if name in means)
    if alone and not unseen:
        start = f"Each image was scored by those of the {count} {kind} that hold it in this part, and their mean taken"
    elif alone:
        start = f"Each image was scored by the one of the {count} {kind} that had not seen it"
    else:
        start = f"The scores are those of the {count} {kind} as one predictor, the mean of their probabilities"
    return f"{start}; the single ones have a mean {each}." if each else f"{start}."


def shared_notes(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """The notes that the reports of all runs have."""
    first, *others = (each["notes"] for each in reports)
    return [note for note in first if all(note in other for other in others)]


def same_images(arrays: Sequence[Path]) -> bool:
    """Whether all runs scored the same images, in the same order."""
    tables = [table(each / "rows.csv")[["root", "path"]] for each in arrays]
    return all(each.equals(tables[0]) for each in tables)


def pooled_baselines(reports: list[dict[str, Any]], arrays: list[Path]) -> Blind:
    """The blind baselines of the runs; if several runs scored an image, its probabilities are their mean."""
    names = [[each["name"] for each in facts["baselines"]] for facts in reports]
    if not names[0] or any(other != names[0] for other in names):
        return []
    stacked = joined(arrays, array="baselines")[1]
    return [(name, stacked[:, place]) for place, name in enumerate(names[0])]


def pooled_validation(arrays: list[Path], rows: pd.DataFrame) -> Validation | None:
    """The validation rows of runs with one division; None if another fold scores these rows."""
    if not all((each / "val_probabilities.npy").is_file() for each in arrays):
        return None
    kept, probabilities, labels = joined(arrays, part="val_", array="probabilities")
    places = [set(zip(each["root"], each["path"], strict=True)) for each in (kept, rows)]
    return None if places[0] & places[1] else Validation(probabilities, labels)


def add_intervals(scores: dict[str, dict[str, Any]], arrays: list[Path], resamples: int) -> None:
    """Add the interval `low`, `high` to each mean over seeds; folds score different images and have none."""
    if not same_images(arrays):
        return
    labels, patients = folders.read_array(arrays[0] / "labels.npy"), patient_numbers(table(arrays[0] / "rows.csv"))
    probabilities = [probabilities_of(each).astype(np.float64) for each in arrays]
    found = {"image": mean_scores(probabilities, labels, patients, resamples)}
    if "patient" in scores:
        merged = [by_patient(each, labels, patients) for each in probabilities]
        found["patient"] = mean_scores([each for each, _ in merged], merged[0][1], None, resamples)
    for unit, entries in found.items():
        for name, entry in entries.items():
            if name in scores[unit]:
                scores[unit][name] |= {"low": entry["low"], "high": entry["high"]}


def over_parts(reports: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation of each score over the runs, by image and by patient, with the single values."""
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
