"""The run of one task: the phases in a row, each handing a folder to the next, then evaluation."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from PIL.PngImagePlugin import PngInfo

from contrastive_cxr import augment, engine, phases, terminal
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.data.decoding import ranges
from contrastive_cxr.data.manifest import read_table
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.evaluation import evaluate
from contrastive_cxr.files import write_bytes
from contrastive_cxr.models import weights
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.preflight import disk
from contrastive_cxr.preflight.data_checks import as_recorded, same_recipe
from contrastive_cxr.preflight.model_checks import (
    check_model_and_batches,
    check_weights,
    sharing_faults,
    start_of,
)
from contrastive_cxr.recipe.augmentation import in_words
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run import seeds
from contrastive_cxr.run.environment import environment
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_folder import provenance
from contrastive_cxr.run_layout import PhaseName, pool_parts
from contrastive_cxr.training import finished, precision, tracked_data
from contrastive_cxr.training.run_audit import audit_images
from contrastive_cxr.training.step_time import place_of

logger = logging.getLogger(__name__)


def run_single(
    recipe: Recipe,
    out: Path,
    *,
    only: Sequence[PhaseName] | None = None,
    origin: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    data: Dataset | None = None,
) -> Path:
    """Run the phases of one task in order into `out`, then score and report; parameters as `training.run.run`.

    Parameters
    ----------
    data : Dataset, optional
        The opened images, where the caller has them (a cascade shares one split).

    Returns
    -------
    Path
        `out`, with `report.json` and `report.html`.

    Raises
    ------
    RequestError
        Recipe, data or folder are wrong; nothing was trained.
    CcxrError
        Something failed while running; the last checkpoint is kept.
    """
    with ExitStack() as preparation:  # closed before the training, which shows its own progress
        preparation.enter_context(terminal.Stages("starting", 5))
        return _run_single(recipe, out, preparation, only, origin, resume, overwrite, data)


def _run_single(
    recipe: Recipe, out: Path, preparation: ExitStack, only: Sequence[PhaseName] | None, origin: Path | None,
    resume: bool, overwrite: bool, data: Dataset | None,
) -> Path:  # fmt: skip
    order = tuple(only) if only else recipe.phases
    shared = data is not None
    terminal.stage("reading the images")
    recipe = as_recorded(recipe, out, resume)
    data = data if data is not None else open_dataset(recipe.data, recipe.task)
    recipe = ranges.settled(recipe, data.intensity)
    terminal.stage("checking the network")
    check_model_and_batches(recipe, data, order)
    check_origin(recipe, data, origin, order[0])
    if overwrite:
        check_overwrite(recipe, out, origin)
    kept = None if overwrite else out
    loaded: dict[str, Any] = {}
    if start_of(kept, order[0], recipe, origin) is None and (kept is None or not engine.is_done(kept / order[0])):
        terminal.stage("loading the weights")
        loaded = check_weights(recipe).facts()
    recipe, speeds = precision.settled(recipe, data, order)
    fabric = engine.launch(recipe.runtime)
    if fabric.is_global_zero:
        for note in () if shared else data.manifest.notes:
            logger.warning("data: %s", note)
    raise_faults(sharing_faults(recipe, data, order, fabric.world_size))
    if fabric.is_global_zero:
        disk.require(out, [(recipe, data, order)])

    with folders.held(out, first=fabric.is_global_zero):
        terminal.stage("writing the run folder")
        open_folder(recipe, data, fabric, out, resume=resume, overwrite=overwrite, loaded=loaded, speeds=speeds)
        if fabric.is_global_zero:
            start = None if origin is None else start_of(None, order[0], recipe, origin)
            provenance.record(out, recipe, data, start, resume=resume, loaded=loaded)
        # a cascade or a pool audits the images that its parts share
        if not shared and out.name not in pool_parts(out.parent):
            terminal.stage("looking for copies, leaks and shortcuts")
            audit_images(recipe, data, fabric, out)
        preparation.close()
        train(recipe, data, fabric, out, order, origin, resume)
        if fabric.is_global_zero:
            finished.record(out, order)
        fabric.barrier()
    return out


def train(
    recipe: Recipe, data: Dataset, fabric: Fabric, out: Path, order: Sequence[PhaseName], origin: Path | None,
    resume: bool,
) -> None:  # fmt: skip
    """Train the phases in order, each from the folder of the one before, then score."""
    tracker = Tracker.open(
        recipe.model_dump(mode="json"), out, recipe.tracking, resume=resume, first=fabric.is_global_zero
    )
    try:
        if tracker.active:
            tracker.data(tracked_data.of(data))
        for picture in sorted(out.glob("augmentation-*.png")):
            tracker.picture(picture.stem, picture)
        for number, name in enumerate(order):
            start = start_of(out, name, recipe, origin)
            place = place_of(recipe, data, order, number)
            phases.TRAIN[name](PhaseContext(recipe, data, fabric, out / name, start, tracker, resume, place))
        evaluate.score_run(recipe, data, fabric, out, tracker)
    finally:
        tracker.close()


def check_overwrite(recipe: Recipe, out: Path, origin: Path | None) -> None:
    """Refuse to remove what the run would start from."""
    for word, start in (("--from", origin), ("model.weights", Path(recipe.model.weights))):
        if start is not None and start.exists() and start.resolve().is_relative_to(out.resolve()):
            raise RequestError(f"--overwrite would remove what {word} {start} names; choose another --out")


def check_origin(recipe: Recipe, data: Dataset, origin: Path | None, first: PhaseName) -> None:
    """Refuse a start that is broken, has another backbone, or was trained for other classes.

    Raises
    ------
    RequestError
        What differs, and both values.
    """
    if origin is None:
        return
    start = start_of(None, first, recipe, origin)
    if start is None:
        raise RequestError(
            f"--from {origin}: {first} is a first phase and starts from model.weights; use model.weights={origin}"
        )
    _, card = weights.load(start)
    faults = []
    if card["backbone"] != recipe.model.backbone:
        faults.append(f"--from {origin}: its backbone is {card['backbone']}, the recipe's is {recipe.model.backbone}")
    if card["task"]["name"] != recipe.task.name:
        faults.append(f"--from {origin}: its task is {card['task']['name']}, the recipe's is {recipe.task.name}")
    elif card["classes"] and tuple(card["classes"]) != tuple(data.classes):
        faults.append(f"--from {origin}: its classes are {card['classes']}, the recipe's are {list(data.classes)}")
    if faults:
        raise RequestError(*faults)


def open_folder(
    recipe: Recipe, data: Dataset, fabric: Fabric, out: Path, *, resume: bool, overwrite: bool,
    loaded: Mapping[str, Any] | None = None, speeds: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Create the run folder with what is known before training; the first process writes.

    `loaded`: what of a file of weights was loaded; `speeds`: how the precision was chosen. A resumed run may have done
    neither again, and keeps what was recorded.

    Raises
    ------
    RequestError
        The folder holds a run already, or the run to go on with is of another recipe.
    """
    if fabric.is_global_zero:
        same_recipe(recipe, out, resume)
        same_images(data, out, resume)
        earlier = recorded_facts(out) if resume else {}
        folders.create(out, resume=resume, overwrite=overwrite)
        finished.forget(out)
        folders.write_text(out / "recipe.yaml", recipes.record(recipe))
        found = environment(fabric.device.type, fabric.world_size)
        now = {name: facts for name, facts in (("weights", loaded), ("precision", speeds)) if facts}
        folders.write_json(out / "environment.json", {**found, **earlier, **now})
        folders.write_table(out / "manifest.csv", data.manifest_table())
        folders.write_table(out / "split.csv", data.manifest_table()[["path", "class", "patient", "split"]])
        save_augmentation(recipe, data, out)
    fabric.barrier()


def recorded_facts(out: Path) -> dict[str, Any]:
    """What `environment.json` of an earlier sitting says of the loaded weights and of the chosen precision."""
    path = out / "environment.json"
    recorded = folders.read_json(path) if path.is_file() else {}
    return {name: recorded[name] for name in ("weights", "precision") if name in recorded}


def same_images(data: Dataset, out: Path, resume: bool) -> None:
    """Refuse to go on with a run whose images were others, or divided otherwise."""
    path = out / "manifest.csv"
    if not (resume and path.is_file()):
        return
    facts = ["path", "class", "split", "digest"]
    then, now = read_table(path), data.manifest_table()
    if then[facts].to_numpy().tolist() != now[facts].astype(str).to_numpy().tolist():
        raise RequestError(
            f"--resume {out}: the images, their labels or their division have changed since (then {len(then)} rows, "
            f"now {len(now)}); put them back as {path} says, or choose another --out"
        )


def save_augmentation(recipe: Recipe, data: Dataset, out: Path) -> None:
    """Picture of what each augmentation does to 16 training images: `augmentation-SET.png`.

    One with ranges of its own is called by its phase, `augmentation-pretrain.png`, the one that makes positives
    `augmentation-embed-positive.png`. The file's `Description` has the ranges in words, for the report.
    """
    rows = data.rows("train")[:: max(1, len(data.rows("train")) // 16)][:16]
    for name, choice in sorted(augmentations(recipe).items()):
        seed = seeds.key(recipe.seed, "picture", name)
        picture = augment.picture(torch.from_numpy(data.take(rows)), recipe.model.image_size, choice, seed)
        content = io.BytesIO()
        words = PngInfo()
        words.add_text("Description", f"{in_words(choice)}: {augment.parameters(choice)}")
        picture.save(content, format="PNG", pnginfo=words)
        write_bytes(out / f"augmentation-{name}.png", content.getvalue())


def augmentations(recipe: Recipe) -> dict[str, augment.Choice]:
    """The augmentations of a recipe, by the names of their pictures; the set `none` has none."""
    chosen: dict[str, augment.Choice] = {name: recipe.phase(name).augment for name in recipe.phases}
    if recipe.embed is not None and recipe.embed.views > 1:
        chosen["embed-positive"] = recipe.embed.positive_augment
    named = {choice if isinstance(choice, str) else place: choice for place, choice in chosen.items()}
    return {name: choice for name, choice in named.items() if choice != "none"}
