"""A cascade that is scored: the answers of its stages joined, beside the flat network's on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import report, terminal
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.evaluation import audit_findings, class_maps, external_drop
from contrastive_cxr.evaluation.predictions import Floats, outputs, write_thumbnails
from contrastive_cxr.evaluation.report_facts import EvaluationContext, origin, read_blind, tta_of
from contrastive_cxr.metrics import cascade as joining
from contrastive_cxr.metrics import decisions
from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.preflight import subgroup_columns
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_layout import STAGES


def stage_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """The three experiments of a cascade: the same settings, each with its own task."""
    assert recipe.cascade is not None, "asked of a cascade only"
    tasks = {"flat": recipe.task, "stage1": recipe.cascade.stage1, "stage2": recipe.cascade.stage2}
    free = recipe.evaluation.model_copy(update={"costs": {}})  # costs are between the flat task's classes
    judged = {"flat": recipe.evaluation, "stage1": free, "stage2": free}
    return {
        name: recipe.model_copy(
            update={"name": f"{recipe.name}/{name}", "task": task, "cascade": None, "evaluation": judged[name]}
        )
        for name, task in tasks.items()
    }


def score(
    context: EvaluationContext, fabric: Fabric, run: Path, places: Mapping[str, Path], out: Path, split: str,
    notes: Sequence[str] = (),
) -> None:  # fmt: skip
    """One verdict from the two stages, on the same images as the flat one's, paired; the report goes into `out`.

    Stage 2 is asked about every image, the normal ones included: what it says of those that stage 1 passes on by
    mistake is part of the cascade's errors.

    Parameters
    ----------
    context : EvaluationContext
        The cascade's recipe, the scored images and the run's own, with the labels of the flat task.
    run : Path
        The cascade, whose models predict.
    places : mapping of str to Path
        Where the reports of the flat run and of the stages on these images are.
    split : str
        The part of `context.data` that is scored. Thresholds are chosen on the run's own validation images, unless
        these are scored.
    notes : sequence of str
        Sentences for the reader of the report.
    """
    recipe, data, own = context.recipe, context.data, context.reference
    strangers = data is not own
    rows = data.rows(split)
    kept = own.rows("val") if split == "test" or strangers else np.empty(0, dtype=np.int64)
    terminal.stage(f"{split} images")
    said, untouched = predict(recipe, data, fabric, run, rows)
    terminal.stage("val images")
    chosen, _ = predict(recipe, own, fabric, run, kept) if len(kept) else ({}, {})
    if not fabric.is_global_zero:
        return
    terminal.stage("scores with intervals")
    parts = stage_recipes(recipe)
    order = joining.order(*(parts[name].task.names for name in STAGES))
    joined = joining.join(said["stage1"], said["stage2"], order)
    verdicts = joining.verdicts(said["stage1"], said["stage2"], order)
    options, final, labels = recipe.evaluation, recipe.phases[-1], data.labels[rows]
    beside = report.ReportExtras(
        baselines=read_blind(places["flat"], final),
        validation=Validation(joining.join(chosen["stage1"], chosen["stage2"], order), own.labels[kept])
        if chosen
        else None,
        targets=options.target.wanted(),
        costs=decisions.matrix(recipe.task.names, options.costs) if options.costs else None,
        tta=tta_of(options.tta, joining.join(untouched["stage1"], untouched["stage2"], order) if untouched else None),
    )
    facts = report.build_cascade(
        report.Subject(recipe.name, recipe.task, "cascade", split),
        report.Predictions(joined, labels, data.patients[rows]),
        report.Stages(
            said["flat"], verdicts, {name: folders.read_json(places[name] / "report.json") for name in STAGES}, order[0]
        ),
        beside,
        resamples=options.resamples,
    )
    facts["subgroups"] = subgroup_columns.of_rows(
        recipe, data.manifest_table().iloc[rows], joined, labels, data.patients[rows]
    )
    facts["audit"] = audit_findings.findings_of(run, facts, int((data.patients[rows] < 0).sum()), external=strangers)
    facts["external_drop"] = external_drop.drop(run, facts) if strangers else None
    facts["notes"] = [*notes, *facts["notes"]]
    save(out, data, rows, {"flat": said["flat"], "joined": joined, "verdicts": verdicts, "labels": labels})
    write_thumbnails(out / "arrays", data, rows)
    stages = {number: run / STAGES[number] / final for number in (1, 2)}
    class_maps.write_of_cascade(out / "arrays", data, fabric, rows, stages, verdicts, joined, order)
    facts["made"] = origin(recipe)
    folders.write_json(out / "report.json", facts)
    report.write(out, run)


def predict(
    recipe: Recipe, data: Dataset, fabric: Fabric, run: Path, rows: NDArray[np.int64]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Class probabilities of the flat network and of each stage on `rows`; the same without test-time augmentation.

    The second dict is empty if there is no test-time augmentation.
    """
    said: dict[str, Floats] = {}
    untouched: dict[str, Floats] = {}
    for name in STAGES:
        found = outputs(recipe, data, fabric, run / name / recipe.phases[-1], rows, recipe.evaluation.tta)
        assert found.probabilities is not None, "run_cascade refuses stages without a classifier"
        said[name] = found.probabilities
        if found.probabilities_without_tta is not None:
            untouched[name] = found.probabilities_without_tta
    return said, untouched


def save(out: Path, data: Dataset, rows: NDArray[np.int64], arrays: dict[str, NDArray[Any]]) -> None:
    """The cascade's own arrays, `arrays/*.npy` with their `rows.csv`."""
    (out / "arrays").mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        folders.write_array(out / "arrays" / f"{name}.npy", array)
    folders.write_table(out / "arrays" / "rows.csv", data.manifest_table().iloc[rows])
