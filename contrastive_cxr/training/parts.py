"""A run that consists of several: the stages of a cascade, folds, or seeds. They are checked, audited and run alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contrastive_cxr import engine, terminal
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import raise_faults
from contrastive_cxr.preflight import disk
from contrastive_cxr.preflight.data_checks import same_recipe
from contrastive_cxr.preflight.model_checks import check_model_and_batches, check_weights, sharing_faults
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.training import finished
from contrastive_cxr.training.run_audit import audit_images
from contrastive_cxr.training.side_by_side import run_side_by_side
from contrastive_cxr.training.train import run_single


@dataclass(frozen=True)
class Parts:
    """The runs that a run consists of.

    Attributes
    ----------
    recipe : Recipe
        Of the whole run.
    recipes : mapping of str to Recipe
        Of each part, by the name of its folder, in the order in which they run.
    sets : mapping of str to Dataset
        The images of each part.
    audited : Dataset
        The images that are audited, once for all parts.
    """

    recipe: Recipe
    recipes: Mapping[str, Recipe]
    sets: Mapping[str, Dataset]
    audited: Dataset

    def check(self) -> None:
        """Check every part against its images.

        Raises
        ------
        RequestError
            Every fault of the first part that has one.
        """
        for name, part in self.recipes.items():
            check_model_and_batches(part, self.sets[name], part.phases)

    def check_processes(self, processes: int) -> None:
        """Check that `processes` processes can share the batches of every part.

        Raises
        ------
        RequestError
            Each fault once.
        """
        found = [
            fault
            for name, part in self.recipes.items()
            for fault in sharing_faults(part, self.sets[name], part.phases, processes)
        ]
        raise_faults(dict.fromkeys(found))


def run_parts(
    parts: Parts,
    out: Path,
    record: Callable[[Fabric], None],
    join: Callable[[Fabric], None],
    *,
    resume: bool,
    overwrite: bool,
    parallel: int = 1,
) -> Path:
    """Run every part into its own folder below `out`, then join what they say.

    Parameters
    ----------
    parallel : int
        Parts at once; more than one are processes of their own (`side_by_side`).
    record : callable
        Writes what is known before training beside `recipe.yaml`; called by the first process.
    join : callable
        Makes the common report; called by every process.

    Raises
    ------
    RequestError
        Something is wrong with a part, or several processes cannot share its batches: before anything is written.
    """
    with terminal.Stages("starting", 2, first="checking the network of each part"):
        parts.check()
        if not resume:
            terminal.stage("loading the weights")
            check_weights(parts.recipe)
        fabric = engine.launch(parts.recipe.runtime)
        parts.check_processes(fabric.world_size)
    first = fabric.is_global_zero
    if first:
        disk.require(out, [(part, parts.sets[name], part.phases) for name, part in parts.recipes.items()])
    with folders.held(out, first=first):
        if first:
            same_recipe(parts.recipe, out, resume)
            folders.create(out, resume=resume, overwrite=overwrite)
            finished.forget(out)
            folders.write_text(out / "recipe.yaml", recipes.record(parts.recipe))
            record(fabric)
        fabric.barrier()
        audit_images(parts.recipe, parts.audited, fabric, out)
        if parallel > 1:
            run_side_by_side(parts.recipes, out, parallel)
        else:
            run_in_turn(parts, out)
        with terminal.Stages("scoring all parts together", len(parts.recipes), first):
            join(fabric)
        if first:
            finished.record(out, list(parts.recipes))
        fabric.barrier()
    return out


def run_in_turn(parts: Parts, out: Path) -> None:
    """Run one part after the other in this process."""
    for number, (name, part) in enumerate(parts.recipes.items(), 1):
        terminal.note(f"part {number}/{len(parts.recipes)}: {name}")
        run_single(part, out / name, resume=(out / name / folders.MARK).is_file(), data=parts.sets[name])
