"""A sweep as Weights & Biases defines one: a YAML file for `wandb sweep`, whose agents call `ccxr run`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.recipe.text import yaml_text
from contrastive_cxr.run import folder as folders
from contrastive_cxr.studies.sweep_points import SweepSpec

METRIC = "evaluation/balanced_accuracy"


def write_definition(
    path: Path, reference: str, words: SweepSpec, recipe: Recipe, out: Path, seeds: int | None
) -> None:
    """Write the grid of `words` to `path`; `wandb sweep PATH` takes it, and `wandb agent` then runs its points.

    Parameters
    ----------
    reference : str
        The recipe, as `ccxr run` will be given it.
    recipe : Recipe
        One point's, for name, project and entity.
    out : Path
        Folder of the runs, each in a folder named by its W&B id.
    seeds : int, optional
        Seeds of each point: they become a parameter.

    Raises
    ------
    RequestError
        The file exists, or the recipe is a cascade.
    """
    if path.exists():
        raise RequestError(f"--wandb {path}: exists; name another file, or remove it")
    if recipe.cascade is not None:
        raise RequestError("--wandb: a cascade is three W&B runs, not one; sweep it with ccxr sweep itself")
    folders.write_text(path, yaml_text.write(definition(reference, words, recipe, out, seeds)))


def definition(reference: str, words: SweepSpec, recipe: Recipe, out: Path, seeds: int | None = None) -> dict[str, Any]:
    """The sweep as W&B's schema has it; parameters as `write_definition`."""
    parameters = {factor.key: {"values": [written(value) for value in factor.values]} for factor in words.factors}
    if seeds is not None:
        parameters["seed"] = {"values": list(range(recipe.seed, recipe.seed + seeds))}
    tracking = {"project": recipe.tracking.project, "entity": recipe.tracking.entity}
    return {
        "name": recipe.name.rpartition("/")[0],
        **{key: value for key, value in tracking.items() if value is not None},
        "program": "ccxr",
        "method": "grid",
        "metric": {"name": METRIC, "goal": "maximize"},
        "command": ["${env}", "sh", "-c", _shell(reference, words.fixed, out), "ccxr", "${args_no_hyphens}"],
        "parameters": parameters,
    }


def written(value: object) -> Any:
    """A value that W&B prints as YAML that we read back: numbers as they are, the rest as YAML text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return value if isinstance(value, str) and yaml_text.parse(value) == value else json.dumps(value)


def _shell(reference: str, fixed: Sequence[str], out: Path) -> str:
    """The agent's command: through a shell, which alone knows the id of the run, and so a folder of its own."""
    quoted = " ".join(map(shlex.quote, [reference, *fixed, "tracking.wandb=online"]))
    return f'exec ccxr run {quoted} "$@" --out {shlex.quote(str(out))}/"$WANDB_RUN_ID"'
