"""The two doors: everything that can be known to be wrong before anything is trained or written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contrastive_cxr import models
from contrastive_cxr.data.batches import balanced_faults
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.models import backbones, block_faults, weights
from contrastive_cxr.phases import PhaseName
from contrastive_cxr.phases.embed import batch_size, steps_per_epoch
from contrastive_cxr.recipe.schema import Recipe

PHASES: tuple[PhaseName, ...] = ("pretrain", "embed", "finetune")


def present(recipe: Recipe) -> tuple[PhaseName, ...]:
    """The phases that the recipe has, in order."""
    return tuple(name for name in PHASES if getattr(recipe, name) is not None)


def second_door(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> None:
    """Check blocks against the backbone, and batches against the images there are.

    Raises
    ------
    RequestError
        Every fault, one sentence each.
    """
    raise_faults([*network_faults(recipe, phases), *batch_faults(recipe, data, phases)])


def network_faults(recipe: Recipe, phases: Sequence[PhaseName]) -> list[str]:
    """A backbone that is not known or does not take the image size; blocks that it lacks (read off the meta device)."""
    name = recipe.model.backbone
    try:
        backbones.check(name)
    except RequestError as error:
        return [f"model.backbone: {fault}" for fault in error.faults]
    faults = backbones.size_faults(name, recipe.model.image_size)
    for phase in phases:
        wanted = getattr(recipe, phase).trainable
        projection = phase == "embed" or (phase == "finetune" and recipe.embed is not None)
        if wanted is not None:
            found = block_faults(wanted, name, projection=projection, classifier=phase != "embed")
            faults += [f"{phase}.{fault}" for fault in found]
    return faults


def check_weights(recipe: Recipe) -> None:
    """Load the weights that a first phase starts from once, before anything is written: a download may fail.

    Raises
    ------
    RequestError
        They cannot be had, are broken, or are of another backbone.
    """
    if recipe.model.weights != "none":
        weights.start(models.build(recipe.model, mean=0.5, std=0.5, seed=0), recipe.model.weights)


def sharing_faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName], processes: int) -> list[str]:
    """Batches that `processes` processes cannot share equally."""
    sizes = {name: steps(recipe, data, name)[1] for name in phases}
    return [
        f"{name}: a batch of {size} images cannot be shared equally by {processes} processes; "
        "make it a multiple of them"
        for name, size in sizes.items()
        if size % processes
    ]


def batch_faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> list[str]:
    """P x K batches that the training images cannot fill."""
    if "embed" not in phases or recipe.embed is None or recipe.embed.positives == "augmented":
        return []
    phase = recipe.embed
    classes = phase.classes_per_batch or len(data.classes)
    return balanced_faults(data.labels, data.rows("train"), classes, phase.images_per_class, names=data.classes)


def start_of(folder: Path | None, name: PhaseName, recipe: Recipe, origin: Path | None) -> Path | None:
    """Phase folder that `name` starts from: the phase before it in this run, or in the run `--from`.

    Raises
    ------
    RequestError
        The recipe has an earlier phase, but neither this run nor `--from` holds it.
    """
    earlier = PHASES[: PHASES.index(name)][::-1]
    for place in filter(None, (folder, origin)):
        for before in earlier:
            if (place / before / "model.json").is_file():
                return place / before
        if place == origin and (place / "model.json").is_file():
            return place
    wanted = [before for before in earlier if getattr(recipe, before) is not None]
    if origin is not None and earlier:
        raise RequestError(f"--from {origin}: holds no finished {' or '.join(earlier)}; name a run that does")
    if wanted:
        raise RequestError(
            f"{name} starts from the recipe's {wanted[0]}, which has not run; give --from RUN, or {wanted[0]}=null to "
            "start from model.weights"
        )
    return None


def steps(recipe: Recipe, data: Dataset, name: PhaseName) -> tuple[int, int]:
    """(steps of an epoch, images of a step) of a phase."""
    images = len(data.rows("train"))
    if name == "embed":
        assert recipe.embed is not None, "asked of phases that the recipe has"
        size = batch_size(recipe.embed, len(data.classes))
        labels = recipe.embed.positives != "augmented"
        return steps_per_epoch(recipe.embed, images, len(data.classes)), size if labels else min(size, images)
    size = min(getattr(recipe, name).batch_size, images)
    return images // size, size
