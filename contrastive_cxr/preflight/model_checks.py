"""Checks of the backbone, its blocks, weights and batches against the images, before anything is trained or written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from contrastive_cxr import models
from contrastive_cxr.data.batches import balanced_faults
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.models import block_faults, growth_faults, norm_blocks, weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.pretrained import foreign
from contrastive_cxr.models.pretrained.started import Started
from contrastive_cxr.phases.context import input_size
from contrastive_cxr.phases.supervised import epoch_size
from contrastive_cxr.preflight import metric_checks
from contrastive_cxr.recipe.schema import Embed, Recipe
from contrastive_cxr.run import processes
from contrastive_cxr.run_layout import PHASES, PhaseName, has_model

logger = logging.getLogger(__name__)


def check_model_and_batches(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> None:
    """Check blocks against the backbone, batches and the choice of checkpoints against the images there are.

    Raises
    ------
    RequestError
        Every fault, one sentence each.
    """
    network = network_faults(recipe, phases)
    norms = norm_faults(recipe, data, phases) if not network else []
    chosen = metric_checks.faults(recipe, data, phases)
    raise_faults([*network, *norms, *batch_faults(recipe, data, phases), *chosen])


def network_faults(recipe: Recipe, phases: Sequence[PhaseName]) -> list[str]:
    """A backbone that is not known or does not take the image sizes; blocks that it lacks; all on the meta device."""
    name, full = recipe.model.backbone, recipe.model.image_size
    try:
        faults = catalogue.size_faults(name, full)
    except RequestError as error:
        return [f"model.backbone: {fault}" for fault in error.faults]
    faults += model_faults(recipe)
    for phase in phases:
        section = recipe.phase(phase)
        wanted, sides = section.trainable, [input_size(section, full, epoch) for epoch in range(section.epochs)]
        faults += [f"{phase}.{fault}" for fault in growth_faults([*sides, full], name)]
        projection = phase == "embed" or (phase == "finetune" and bool(recipe.embed and recipe.embed.kept_projection))
        if wanted is not None:
            found = block_faults(wanted, name, projection=projection, classifier=phase != "embed")
            faults += [f"{phase}.{fault}" for fault in found]
    return faults


def model_faults(recipe: Recipe) -> list[str]:
    """Drop rates and stochastic depth that the backbone has not; published weights where there are none, or a damaged
    file of them."""
    model = recipe.model
    faults: list[str] = []
    try:
        with torch.device("meta"):
            catalogue.create(model.backbone, model.drop_rates or model.dropout, drop_path=model.drop_path)
    except RequestError as error:
        faults += error.faults
    if model.weights == "imagenet":
        try:
            foreign.origin(model.backbone, recipe.task.name)
        except RequestError as error:
            faults += error.faults
    return faults


def norm_faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName], processes: int = 1) -> list[str]:
    """Batch norm that would train on one image: its statistics are of a batch, on each process its own."""
    faults = []
    for name in phases:
        section, size = recipe.phase(name), steps(recipe, data, name)[1]
        if size * section.views // processes > 1:
            continue
        blocks = norm_blocks(recipe.model.backbone, section.trainable)
        if blocks:
            word = f"{name}.{section.batch_setting}"
            shared = f" shared by {processes} processes" if processes > 1 else ""
            faults.append(
                f"{name}: a batch of {size}{shared} is one image at a time, over which the batch norm of "
                f"{recipe.model.backbone} ({', '.join(blocks)}) has no statistics; raise {word}, leave these blocks "
                f"out of {name}.trainable, or take a backbone without batch norm, such as cnn3 or "
                "timm/resnetv2_50x1_bit"
            )
    return faults


def check_weights(recipe: Recipe) -> Started:
    """Load the weights that a first phase starts from once, before anything is written: a download may fail.

    The log says their name, their digest, how many tensors were loaded, and of a file what was left aside.

    Returns
    -------
    Started
        What was loaded, and from where.

    Raises
    ------
    RequestError
        They cannot be had, are broken, or are of another backbone.
    """
    found = load_weights(recipe)
    if processes.is_first():
        for sentence in found.lines():
            _tell(sentence)
    return found


def load_weights(recipe: Recipe) -> Started:
    """As `check_weights`, without a word."""
    model = recipe.model
    if model.weights == "none":
        return Started(model.weights)
    network = models.build(model, mean=0.5, std=0.5, seed=0)
    found = weights.start(network, model.weights, model.stem, recipe.task.name)
    return found if found.match is None else replace(found, digest=weights.digest_of(model.weights))


@cache
def _tell(sentence: str) -> None:
    """Log the sentence, once a process: a cascade, a pool and a sweep check the same weights for each of their parts.

    At the level of warnings, which is what a command shows.
    """
    logger.warning(sentence)


def sharing_faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName], processes: int) -> list[str]:
    """Batches that `processes` processes cannot share equally, or whose shares are too small for batch norm."""
    sizes = {name: steps(recipe, data, name)[1] for name in phases}
    alike = [name for name in phases if processes > 1 and sizes[name] % processes == 0]
    norms = [] if recipe.runtime.sync_batchnorm else norm_faults(recipe, data, alike, processes)
    return norms + [
        f"{name}: a batch of {size} images cannot be shared equally by {processes} processes; "
        + ("make it a multiple of them" if size > processes else f"start at most {size}, or make the batch larger")
        for name, size in sizes.items()
        if size % processes
    ]


def batch_faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> list[str]:
    """P x K batches that the training images cannot fill."""
    if "embed" not in phases or recipe.embed is None or not recipe.embed.uses_labels:
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
            if has_model(place / before):
                return place / before
        if place == origin and has_model(place):
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
    phase, classes = recipe.phase(name), len(data.classes)
    size = phase.batch_images(classes)
    if isinstance(phase, Embed):
        return phase.epoch_steps(images, classes), size if phase.uses_labels else min(size, images)
    images = epoch_size(data.labels[data.rows("train")], phase.imbalance)
    size = min(size, images)
    return images // size, size
