"""The cascade: normal against infected, then which infection; beside the flat classifier on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import report, terminal
from contrastive_cxr.data.dataset import Dataset, open_dataset, retask
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import audit_findings, class_maps, made
from contrastive_cxr.evaluation.predictions import Floats, outputs, write_thumbnails
from contrastive_cxr.evaluation.report_facts import read_blind, tta_of
from contrastive_cxr.metrics import cascade as joining
from contrastive_cxr.metrics import decisions
from contrastive_cxr.metrics.fitting import Validation
from contrastive_cxr.preflight import subgroup_columns
from contrastive_cxr.preflight.data_checks import as_recorded
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run.environment import environment
from contrastive_cxr.run_folder import provenance
from contrastive_cxr.run_layout import STAGES
from contrastive_cxr.training.parts import Parts, run_parts
from contrastive_cxr.training.train import same_images


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


def run_cascade(recipe: Recipe, out: Path, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Run the flat task and both stages on one split, join the stages, and set the verdict beside the flat one.

    Returns
    -------
    Path
        `out`, with `flat/`, `stage1/`, `stage2/` (each a run), `report.json` and `report.html`.

    Raises
    ------
    RequestError
        As `run`; or the stages' classes do not make up the flat task's.
    """
    if recipe.phases[-1] == "embed":
        raise RequestError(
            "a cascade joins the stages' classifiers, and its last phase has none; add a section finetune"
        )
    recipe = as_recorded(recipe, out, resume)
    with terminal.Stages("starting", 1, first="reading the images"):
        data = open_dataset(recipe.data, recipe.task)
    same_images(data, out, resume)
    recipe = ranges.settled(recipe, data.intensity)
    parts = stage_recipes(recipe)
    sets = {name: retask(data, part.task) for name, part in parts.items()}
    return run_parts(
        Parts(recipe, parts, sets, data),
        out,
        lambda fabric: record(recipe, data, fabric, out, resume=resume),
        lambda fabric: join(recipe, data, fabric, out),
        resume=resume,
        overwrite=overwrite,
    )


def record(recipe: Recipe, data: Dataset, fabric: Fabric, out: Path, *, resume: bool) -> None:
    """Write what all stages share and is known before training."""
    folders.write_json(out / "environment.json", environment(fabric.device.type, fabric.world_size))
    folders.write_table(out / "manifest.csv", data.manifest_table())
    folders.write_table(out / "split.csv", data.manifest_table()[["path", "class", "patient", "split"]])
    provenance.record(out, recipe, data, resume=resume)


def join(recipe: Recipe, data: Dataset, fabric: Fabric, out: Path) -> None:
    """One three-class verdict from the two stages, on the same images as the flat one's, paired.

    Stage 2 is asked about every image, the normal ones included: what it says of those that stage 1 passes on by
    mistake is part of the cascade's errors.
    """
    split = "test" if len(data.rows("test")) else "val"
    rows, kept = data.rows(split), data.rows("val") if split == "test" else np.empty(0, dtype=np.int64)
    final = recipe.phases[-1]
    said: dict[str, Floats] = {}
    probabilities_without_tta: dict[str, Floats] = {}
    for name in STAGES:
        terminal.stage(f"images, {name}")
        found = outputs(recipe, data, fabric, out / name / final, np.concatenate([rows, kept]), recipe.evaluation.tta)
        assert found.probabilities is not None, "run_cascade refuses stages without a classifier"
        said[name] = found.probabilities
        if found.probabilities_without_tta is not None:
            probabilities_without_tta[name] = found.probabilities_without_tta
    if not fabric.is_global_zero:
        return
    terminal.stage("scores with intervals")
    parts = stage_recipes(recipe)
    order = joining.order(*(parts[name].task.names for name in STAGES))
    both = joining.join(said["stage1"], said["stage2"], order)
    joined = both[: len(rows)]
    verdicts = joining.verdicts(said["stage1"][: len(rows)], said["stage2"][: len(rows)], order)
    reports = {name: folders.read_json(out / name / "report.json") for name in STAGES}
    options = recipe.evaluation
    beside = report.ReportExtras(
        baselines=read_blind(out / "flat", final),
        validation=Validation(both[len(rows) :], data.labels[kept]) if len(kept) else None,
        targets=options.target.wanted(),
        costs=decisions.matrix(recipe.task.names, options.costs) if options.costs else None,
        tta=tta_of(
            options.tta,
            joining.join(probabilities_without_tta["stage1"], probabilities_without_tta["stage2"], order)[: len(rows)]
            if probabilities_without_tta
            else None,
        ),
    )
    flat = said["flat"][: len(rows)]
    facts = report.build_cascade(
        report.Subject(recipe.name, recipe.task, "cascade", split),
        report.Predictions(joined, data.labels[rows], data.patients[rows]),
        report.Stages(flat, verdicts, reports, order[0]),
        beside,
        resamples=options.resamples,
    )
    labels = data.labels[rows]
    facts["subgroups"] = subgroup_columns.of_rows(
        recipe, data.manifest_table().iloc[rows], joined, labels, data.patients[rows]
    )
    facts["audit"] = audit_findings.findings_of(out, facts, int((data.patients[rows] < 0).sum()))
    save(out, data, rows, {"flat": flat, "joined": joined, "verdicts": verdicts, "labels": labels})
    write_thumbnails(out / "arrays", data, rows)
    stages = {number: out / STAGES[number] / final for number in (1, 2)}
    class_maps.write_of_cascade(out / "arrays", data, fabric, rows, stages, verdicts, joined, order)
    facts["made"] = made.of(recipe)
    folders.write_json(out / "report.json", facts)
    report.write(out)


def save(out: Path, data: Dataset, rows: NDArray[np.int64], arrays: dict[str, NDArray[Any]]) -> None:
    """The cascade's own arrays, `arrays/*.npy` with their `rows.csv`."""
    (out / "arrays").mkdir(exist_ok=True)
    for name, array in arrays.items():
        folders.write_array(out / "arrays" / f"{name}.npy", array)
    folders.write_table(out / "arrays" / "rows.csv", data.manifest_table().iloc[rows])
