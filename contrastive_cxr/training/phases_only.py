"""A recipe's phases alone: models in a folder, without the record of a run, without scores and report."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr import engine, phases
from contrastive_cxr.data.dataset import open_dataset
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.errors import raise_faults
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.preflight import disk
from contrastive_cxr.preflight.model_checks import check_model_and_batches, check_weights, sharing_faults, start_of
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.training import precision


def train_phases(recipe: Recipe, out: Path) -> Path:
    """Train the phases in order, each from the folder of the one before, after the same checks as a run.

    Parameters
    ----------
    recipe : Recipe
        Without a cascade; `tracking` and `evaluation` are not used.
    out : Path
        A folder that holds nothing yet.

    Returns
    -------
    Path
        `out`, with a folder a phase; it is no run folder, as it has no recipe, rows or report.

    Raises
    ------
    RequestError
        Recipe or data are wrong; nothing was trained.
    """
    order = recipe.phases
    data = open_dataset(recipe.data, recipe.task)
    recipe = ranges.settled(recipe, data.intensity)
    check_model_and_batches(recipe, data, order)
    check_weights(recipe)
    recipe, _ = precision.settled(recipe, data, order)
    fabric = engine.launch(recipe.runtime)
    raise_faults(sharing_faults(recipe, data, order, fabric.world_size))
    disk.require(out, [(recipe, data, order)])
    for name in order:
        start = start_of(out, name, recipe, None)
        phases.TRAIN[name](PhaseContext(recipe, data, fabric, out / name, start, Tracker()))
    return out
