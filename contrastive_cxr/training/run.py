"""Run a recipe: one task, or a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contrastive_cxr import recipe as recipes
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run_layout import PhaseName
from contrastive_cxr.training.cascade import run_cascade
from contrastive_cxr.training.train import run_single


def run(
    recipe: Recipe,
    out: str | Path,
    *,
    only: Sequence[PhaseName] | None = None,
    origin: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Path:
    """Run the recipe's phases in order into `out`, then score and report.

    Parameters
    ----------
    recipe : Recipe
        From `recipe.load`.
    out : str or Path
        The run folder.
    only : sequence of phase names, optional
        Just these phases; the others' folders are looked for in `out` and `origin`.
    origin : Path, optional
        Run or phase folder that the first phase starts from.
    resume, overwrite : bool
        Go on with the run in `out`, or replace it. Neither: a folder that holds a run is refused.

    Returns
    -------
    Path
        `out`, with `report.json` and `report.html`.

    Raises
    ------
    RequestError
        Recipe, data or folder are wrong, or another process is at work in the folder; nothing was trained.
    CcxrError
        Something failed while running; the last checkpoint is kept.
    """
    if not isinstance(recipe, Recipe):
        raise RequestError(
            f"run_recipe takes a recipe, and {recipe!r} is none; read it first: "
            f"recipe.load({str(recipe)!r}), after from contrastive_cxr import recipe"
        )
    out = Path(out)
    if recipe.cascade is None:
        return run_single(recipe, out, only=only, origin=origin, resume=resume, overwrite=overwrite)
    if only or origin:
        raise RequestError("a cascade's phases run together, each stage from its own; use ccxr run, without --from")
    return run_cascade(recipe, out, resume=resume, overwrite=overwrite)


def quickstart(out: Path, *, overwrite: bool = False) -> Path:
    """Run the shipped recipe `phantom` into `out`: paint images, train the three phases, report.

    Returns
    -------
    Path
        `out/report.html`.
    """
    return run(recipes.load("phantom"), out, overwrite=overwrite) / "report.html"
