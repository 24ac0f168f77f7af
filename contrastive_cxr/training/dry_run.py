"""What a run would do: the answer to `--dry-run`. Nothing is trained or written but the cache of decoded images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from contrastive_cxr import terminal
from contrastive_cxr.data.cache_files import folder_of
from contrastive_cxr.data.dataset import Dataset, open_dataset, retask
from contrastive_cxr.data.decoding import grey_levels, ranges
from contrastive_cxr.data.files.addresses import absolute
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.evaluation.cascade import stage_recipes
from contrastive_cxr.models.pretrained import foreign
from contrastive_cxr.preflight import disk
from contrastive_cxr.preflight.model_checks import check_model_and_batches, load_weights, start_of, steps
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import tracking
from contrastive_cxr.run_layout import PhaseName
from contrastive_cxr.space import free
from contrastive_cxr.training import precision, step_time
from contrastive_cxr.training.run_audit import audit_facts


@dataclass(frozen=True)
class PhasePlan:
    """One phase: steps of an epoch, images of a step, and (block, trainable parameters, all parameters)."""

    name: PhaseName
    epochs: int
    steps_per_epoch: int
    batch: int
    blocks: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Plan:
    """A resolved recipe and what it comes to.

    Attributes
    ----------
    counts : list of dict
        Images of each split and class.
    disk : dict of int
        Bytes that the run folder comes to at its largest, by what they are for.
    free : int
        Bytes that its disk has.
    cache : (Path, int)
        Folder of the decoded images, which are there now, and its bytes.
    start : str
        What the first phase's weights are, in words.
    grey : list of str
        Which stored values become black and white, a line a range, and a warning where too little is left of them.
    out : Path or None
        The folder that the run would write.
    steps : dict of int
        Steps of each phase, of a cascade those of its three tasks together.
    seconds : dict of float, or str
        About how long each phase trains here, from two timed steps; in words why that is not known.
    device : str
        What would be trained on.
    audit : dict or None
        The contents of `audit.json`; None where the recipe wants no audit, or there are too many images for one.
    notes : tuple of str
        What was recognised, repaired or left out of the data; what is done otherwise than the environment says.
    """

    recipe: Recipe
    counts: list[dict[str, Any]]
    phases: tuple[PhasePlan, ...]
    disk: dict[str, int]
    free: int
    cache: tuple[Path, int]
    start: str
    grey: list[str]
    notes: tuple[str, ...] = ()
    out: Path | None = None
    steps: dict[PhaseName, int] = field(default_factory=dict)
    seconds: dict[PhaseName, float] | str = ""
    device: str = ""
    audit: dict[str, Any] | None = None


def plan(
    recipe: Recipe, only: Sequence[PhaseName] | None = None, out: Path | None = None, origin: Path | None = None,
    *, timed: bool = False,
) -> Plan:  # fmt: skip
    """Check everything and say what would be trained, what the audit finds, and what it takes: disk, and time.

    Parameters
    ----------
    timed : bool
        Time two steps of each phase: seconds on small networks, up to minutes on large ones.
    out : Path, optional
        The folder that the run would write; none: the current one stands for it.
    origin : Path, optional
        The run whose model a single phase starts from (`--from`).

    Raises
    ------
    RequestError
        Whatever a run would refuse before training.
    """
    with terminal.Stages("dry run", 5, first="reading the images"):
        return _plan(recipe, only, out, origin, timed)


def _plan(recipe: Recipe, only: Sequence[PhaseName] | None, out: Path | None, origin: Path | None, timed: bool) -> Plan:
    order = tuple(only) if only else recipe.phases
    data = open_dataset(recipe.data, recipe.task)
    terminal.stage("checking the network")
    check_model_and_batches(recipe, data, order)
    earlier = None if origin is None else start_of(None, order[0], recipe, origin)
    terminal.stage("loading the weights")
    start = starting_weights(recipe) if earlier is None else f"those of {earlier}"
    counts = data.describe().reset_index().to_dict("records")
    parts = runs(recipe, data, order)
    if out is not None:
        disk.require(out, parts)
    settled = ranges.settled(recipe, data.intensity)
    if timed:
        settled, _ = precision.settled(settled, data, order, may_measure=False)
        parts = [(part.model_copy(update={"runtime": settled.runtime}), images, names) for part, images, names in parts]
    folder = folder_of(settled.data, sorted({absolute(root) for root in data.manifest.rows["root"].unique()}))
    return Plan(
        settled,
        [{str(key): value for key, value in row.items()} for row in counts],
        tuple(phase_plan(recipe, data, name) for name in order),
        dict(disk.total(parts)),
        free(out or Path()),
        (folder, sum(path.stat().st_size for path in folder.iterdir())),
        start,
        grey_words(data),
        (*(f"Data: {note}" for note in data.manifest.notes), *filter(None, (tracking.overruled(recipe.tracking),))),
        out,
        {name: sum(_steps(part, images, name) for part, images, _ in parts) for name in order},
        seconds_of(settled, parts) if timed else "",
        device_words(settled),
        _audit(recipe, data),
    )


def _audit(recipe: Recipe, data: Dataset) -> dict[str, Any] | None:
    terminal.stage("looking for copies, leaks and shortcuts")
    return audit_facts(recipe, data)


def _steps(recipe: Recipe, data: Dataset, name: PhaseName) -> int:
    return recipe.phase(name).epochs * steps(recipe, data, name)[0]


def seconds_of(recipe: Recipe, parts: Sequence[disk.Part]) -> dict[PhaseName, float] | str:
    """Seconds of each phase, or why they are not known."""
    terminal.stage("timing the phases")
    try:
        return step_time.seconds(recipe, parts)
    except CcxrError as error:
        return str(error)


def device_words(recipe: Recipe) -> str:
    """The device that a run would take here, and its precision."""
    runtime = recipe.runtime
    there = torch.cuda.is_available()
    measured_later = "32-true or bf16-mixed, the run measures which is faster"
    precision_words = measured_later if runtime.precision == "auto" else runtime.precision
    if runtime.device == "cuda" and not there:
        return f"GPU, which this machine has not; precision {precision_words}"
    if runtime.device == "cpu" or not there:
        threads = torch.get_num_threads()
        return f"CPU, {threads} thread{'' if threads == 1 else 's'}, precision {precision_words}"
    return f"GPU {torch.cuda.get_device_name()}, precision {precision_words}"


def grey_words(data: Dataset) -> list[str]:
    """The ranges of stored values, and a warning where they leave too few grey levels."""
    found = grey_levels.of_dataset(data)
    warning = grey_levels.warning(found, data.intensity.kind)
    return [*grey_levels.in_words(found), *([f"warning: {warning}"] if warning else [])]


def starting_weights(recipe: Recipe) -> str:
    """What the first phase's weights are, in words; they are loaded once where that needs no download.

    Raises
    ------
    RequestError
        They cannot be had, are broken, or are of another backbone.
    """
    model = recipe.model
    if model.weights == "imagenet":
        origin = foreign.origin(model.backbone, recipe.task.name)
        if origin.kind == "package":  # the hub asks the network even for what it has in its cache
            load_weights(recipe)
        return f"those of ImageNet, from {origin.words()}"
    found = load_weights(recipe)
    if model.weights == "none":
        return f"drawn at random (init {model.init})"
    return "\n".join((f"those of {model.weights}", *found.lines()))


def runs(recipe: Recipe, data: Dataset, order: Sequence[PhaseName]) -> list[disk.Part]:
    """What would be run: the recipe, or the three tasks of its cascade."""
    if recipe.cascade is None:
        return [(recipe, data, order)]
    return [(part, retask(data, part.task), order) for part in stage_recipes(recipe).values()]


def phase_plan(recipe: Recipe, data: Dataset, name: PhaseName) -> PhasePlan:
    """One phase's steps and blocks; the network is built on the meta device."""
    phase = recipe.phase(name)
    network = disk.network(recipe, data, name)
    per_epoch, batch = steps(recipe, data, name)
    return PhasePlan(name, phase.epochs, per_epoch, batch, tuple(network.describe()))
