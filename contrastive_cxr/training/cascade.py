"""The cascade: normal against infected, then which infection; beside the flat classifier on the same images."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr import terminal
from contrastive_cxr.data.dataset import Dataset, open_dataset, retask
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import cascade as scoring
from contrastive_cxr.evaluation.report_facts import EvaluationContext
from contrastive_cxr.preflight.data_checks import as_recorded
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run.environment import environment
from contrastive_cxr.run_folder import provenance
from contrastive_cxr.run_layout import STAGES
from contrastive_cxr.training.parts import Parts, run_parts
from contrastive_cxr.training.train import same_images


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
    parts = scoring.stage_recipes(recipe)
    sets = {name: retask(data, part.task) for name, part in parts.items()}
    context, places = EvaluationContext(recipe, data, data), {name: out / name for name in STAGES}
    split = "test" if len(data.rows("test")) else "val"
    return run_parts(
        Parts(recipe, parts, sets, data),
        out,
        lambda fabric: record(recipe, data, fabric, out, resume=resume),
        lambda fabric: scoring.score(context, fabric, out, places, out, split),
        resume=resume,
        overwrite=overwrite,
    )


def record(recipe: Recipe, data: Dataset, fabric: Fabric, out: Path, *, resume: bool) -> None:
    """Write what all stages share and is known before training."""
    folders.write_json(out / "environment.json", environment(fabric.device.type, fabric.world_size))
    folders.write_table(out / "manifest.csv", data.manifest_table())
    folders.write_table(out / "split.csv", data.manifest_table()[["path", "class", "patient", "split"]])
    provenance.record(out, recipe, data, resume=resume)
