"""Several runs of one recipe, over folds or seeds; `pooled` makes one report of them."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr import terminal
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.pooled import pool
from contrastive_cxr.preflight.data_checks import as_recorded
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.training import side_by_side
from contrastive_cxr.training.parts import Parts, run_parts


def run_folds(
    recipe: Recipe, out: Path, folds: int, *, resume: bool = False, overwrite: bool = False, parallel: int = 1
) -> Path:
    """Run each of `folds` folds into `out/fold<i>`; every image is scored once, by the run that never saw it.

    Returns
    -------
    Path
        `out`, with `report.json` over the pooled predictions and `pooled.json` with each fold's scores.
    """
    parts = {f"fold{i}": with_fold(recipe, folds, i) for i in range(folds)}
    return run_all(recipe, out, parts, resume=resume, overwrite=overwrite, parallel=parallel)


def run_seeds(
    recipe: Recipe, out: Path, seeds: int, *, resume: bool = False, overwrite: bool = False, parallel: int = 1
) -> Path:
    """Run the recipe with seeds `seed, seed + 1, ...` into `out/seed<s>`, on one split; scores are means over seeds.

    Returns
    -------
    Path
        `out`, with `report.json` over the mean probabilities and `pooled.json` with each seed's scores.
    """
    parts = {f"seed{s}": recipe.model_copy(update={"seed": s}) for s in range(recipe.seed, recipe.seed + seeds)}
    return run_all(recipe, out, parts, resume=resume, overwrite=overwrite, parallel=parallel)


def with_fold(recipe: Recipe, folds: int, fold: int) -> Recipe:
    """The recipe on fold `fold` of `folds`."""
    split = recipe.data.split.model_copy(update={"kind": "folds", "folds": folds, "fold": fold})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"split": split})})


def run_all(
    recipe: Recipe, out: Path, parts: dict[str, Recipe], *, resume: bool, overwrite: bool, parallel: int = 1
) -> Path:
    """Run every part into its own folder, `parallel` at a time, then pool."""
    side_by_side.check(parallel)
    if recipe.cascade is not None:
        raise RequestError("--folds and --seeds pool runs of one task; run a cascade's recipe without them")
    if len(recipe.task.names) < 2:
        raise RequestError(f"task '{recipe.task.name}' has one class, so --folds and --seeds have no scores to pool")
    recipe = as_recorded(recipe, out, resume)
    parts = {name: as_recorded(part, out, resume) for name, part in parts.items()}
    with terminal.Stages("starting", 1, first="reading the images"):
        sets = {name: open_dataset(part.data, part.task) for name, part in parts.items()}
    audited = next(iter(sets.values()))
    recipe = ranges.settled(recipe, audited.intensity)

    def record(fabric: Fabric) -> None:
        del fabric
        folders.write_json(out / "parts.json", {"experiment": recipe.name, "parts": list(parts)})

    def join(fabric: Fabric) -> None:
        if fabric.is_global_zero:
            pool(recipe, out, {name: out / name for name in parts})

    return run_parts(
        Parts(recipe, parts, sets, audited), out, record, join, resume=resume, overwrite=overwrite, parallel=parallel
    )
