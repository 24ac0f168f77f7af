"""A gallery among the tracked records of the run whose model made it."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import Recipe
from contrastive_cxr.retrieval import Searched
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run.tracked import GalleryFacts
from contrastive_cxr.run.tracking import Tracker, uses_wandb

RECIPE = "recipe.yaml"


def tracked(run: Path) -> tuple[Path, Recipe]:
    """The folder of the run that `run` is, or that it is a phase of, and its recipe.

    Raises
    ------
    RequestError
        It belongs to no run, or the run has no tracker.
    """
    folder = next((each for each in (run, run.resolve().parent) if (each / RECIPE).is_file()), None)
    if folder is None:
        raise RequestError(f"--track: {run} has no {RECIPE}, so there is no run to record the gallery in; leave it out")
    recipe = recipes.load(folder / RECIPE)
    if not uses_wandb(recipe.tracking) and "tensorboard" not in recipe.tracking.to:
        raise RequestError(
            f"--track: the run {folder} has no tracker (tracking.to={list(recipe.tracking.to)}, "
            f"tracking.wandb={recipe.tracking.wandb}); leave it out"
        )
    return folder, recipe


def record(run: Path, gallery: Searched, out: Place) -> None:
    """Record in the run's trackers that `gallery`, written to `out`, was made by one of its models.

    A failure of a tracker is a warning: the gallery is there all the same.

    Raises
    ------
    RequestError
        As `tracked`; or another process is at work in the run's folder.
    """
    folder, recipe = tracked(run)
    name = out.resolve().name if isinstance(out, Path) else out.name
    facts = GalleryFacts(name, gallery.model_digest, len(gallery), gallery.about.kind, gallery.labels())
    with folders.held(folder):
        tracker = Tracker.open(recipe.model_dump(mode="json"), folder, recipe.tracking, resume=True)
        tracker.gallery(facts)
        tracker.close()
