"""Whether a run is finished: `done.json`, the last thing that a run writes. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from contrastive_cxr.preflight.data_checks import same_recipe
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run import processes
from contrastive_cxr.run_layout import STAGES

RECORD = "done.json"
VERSION = 1


def record(out: Path, parts: Sequence[str]) -> None:
    """Say that a run is finished.

    Parameters
    ----------
    parts : sequence of str
        What it consists of: phases, stages, folds or seeds.
    """
    folders.write_json(out / RECORD, {"version": VERSION, "parts": list(parts)})


def forget(out: Path) -> None:
    """Say that a run is being written to."""
    (out / RECORD).unlink(missing_ok=True)


def is_finished(
    recipe: Recipe, out: Path, *, phase: str | None = None, folds: int | None = None, seeds: int | None = None
) -> bool:
    """Whether `out` holds the finished run of this recipe, of one phase of it, or of it over folds or seeds.

    Raises
    ------
    RequestError
        It holds a run of another recipe, or another process is at work in it.
    """
    if not (out / folders.MARK).is_file():
        return False
    if processes.is_first():
        folders.check(out, resume=True)
        same_recipe(recipe, out, resume=True)
    try:
        found = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == {"version": VERSION, "parts": list(parts_of(recipe, phase, folds, seeds))})


def parts_of(recipe: Recipe, phase: str | None, folds: int | None, seeds: int | None) -> tuple[str, ...]:
    """The names of what a run consists of."""
    if folds:
        return tuple(f"fold{number}" for number in range(folds))
    if seeds:
        return tuple(f"seed{number}" for number in range(recipe.seed, recipe.seed + seeds))
    if recipe.cascade is not None:
        return STAGES
    return (phase,) if phase else recipe.phases
