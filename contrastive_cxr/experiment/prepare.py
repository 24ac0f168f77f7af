"""The two doors: everything that can be known to be wrong before anything is trained or written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contrastive_cxr.data.batches import balanced_faults
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.models import backbones, block_faults
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
    """Blocks named by the phases that their networks would lack (read off the meta device)."""
    faults: list[str] = []
    for name in phases:
        wanted = getattr(recipe, name).trainable
        projection = name == "embed" or (name == "finetune" and recipe.embed is not None)
        if wanted is not None:
            found = block_faults(wanted, recipe.model.backbone, projection=projection, classifier=name != "embed")
            faults += [f"{name}.trainable: {fault}" for fault in found]
    return faults or ([] if phases else _known_backbone(recipe))


def _known_backbone(recipe: Recipe) -> list[str]:
    known = backbones.known()
    name = recipe.model.backbone
    return [] if name in known else [f"model.backbone: '{name}' is not known{nearest(name, known)}"]


def batch_faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> list[str]:
    """P x K batches that the training images cannot fill."""
    if "embed" not in phases or recipe.embed is None or recipe.embed.positives == "augmented":
        return []
    phase = recipe.embed
    classes = phase.classes_per_batch or len(data.classes)
    return balanced_faults(data.labels, data.rows("train"), classes, phase.images_per_class)


def start_of(folder: Path, name: PhaseName, recipe: Recipe, origin: Path | None) -> Path | None:
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
            f"{name} starts from the recipe's {wanted[0]}, which has not run; give --from RUN, or {wanted[0]}=null to start "
            "from model.weights"
        )
    return None


def steps(recipe: Recipe, data: Dataset, name: PhaseName) -> tuple[int, int]:
    """(steps of an epoch, images of a step) of a phase."""
    images = len(data.rows("train"))
    if name == "embed":
        assert recipe.embed is not None, "asked of phases that the recipe has"
        return steps_per_epoch(recipe.embed, images, len(data.classes)), batch_size(recipe.embed, len(data.classes))
    size = min(getattr(recipe, name).batch_size, images)
    return images // size, size
