"""The largest batch that each phase trains with here: a short search by trials, each in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from contrastive_cxr import terminal
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.phases.supervised import epoch_size
from contrastive_cxr.preflight.model_checks import check_model_and_batches, check_weights
from contrastive_cxr.recipe.schema import Embed, Recipe
from contrastive_cxr.run import processes
from contrastive_cxr.run_layout import PhaseName
from contrastive_cxr.training import trial
from contrastive_cxr.training.trial import TrialConfig

SAMPLE = 64  # real images that a trial's batch is made of
USED = 0.9  # of the CPU's free memory; the rest is for what else the machine does


@dataclass(frozen=True)
class Found:
    """The largest batch of a phase.

    Attributes
    ----------
    setting : str
        The recipe's word for it, such as `pretrain.batch_size`.
    value : int
        Its largest value that trained.
    images : int
        Images a step that this comes to.
    most : int
        Largest value that the training images allow.
    limit : str
        What ended the search: `images`, or what the next larger trial said.
    peak_mib : float
        Largest memory of the trial at `value`.
    """

    setting: str
    value: int
    images: int
    most: int
    limit: str
    peak_mib: float


def find_batch(recipe: Recipe, tell: Callable[[str], None] = lambda words: None) -> list[Found]:
    """Search each phase for the largest batch that trains; nothing is kept of the trials.

    The search doubles from the recipe's own batch and halves the gap, down to a sixteenth of the batch. A trial is two
    steps and a validation, at full image size. On a GPU the device says when it is full; a CPU's process is given nine
    tenths of the memory that is free now (Linux; elsewhere the system may begin to swap instead of refusing).

    Parameters
    ----------
    tell : callable
        Gets a line a trial.

    Raises
    ------
    RequestError
        Whatever a run would refuse before training; several processes.
    CcxrError
        Not even the smallest batch trains.
    """
    if processes.count() > 1:
        raise RequestError("--find-batch looks for the batch of one process; start it without torchrun")
    order = recipe.phases
    with terminal.Stages("starting", 1, first="reading the images"):
        data = open_dataset(recipe.data, recipe.task)
    check_model_and_batches(recipe, data, order)
    check_weights(recipe)
    return [of_phase(recipe, data, name, tell) for name in order]


def of_phase(recipe: Recipe, data: Dataset, name: PhaseName, tell: Callable[[str], None]) -> Found:
    """The largest batch of one phase."""
    phase = recipe.phase(name)
    images = data.take(data.rows("train")[:SAMPLE])
    validation = min(max(len(data.rows("val")), len(data.classes)), recipe.runtime.eval_batch_size)
    free = trial.free_memory() if on_cpu(recipe) else None
    memory = None if free is None else int(USED * free)
    said: dict[int, float | str] = {}

    def fits(value: int) -> bool:
        said[value] = outcome = isolated(TrialConfig(recipe, name, value, images, validation, memory))
        words = outcome if isinstance(outcome, str) else f"trains, {outcome:,.0f} MiB"
        tell(f"{name}.{phase.batch_setting}={value}: {words}")
        return not isinstance(outcome, str)

    least, most = bounds(recipe, data, name)
    own = min(max(getattr(phase, phase.batch_setting), least), most)
    value = largest(fits, own, least, most)
    peak = said.get(value)
    if peak is None or isinstance(peak, str):
        raise CcxrError(f"{name}: not even {phase.batch_setting}={least} trains here: {said[least]}")
    above = [said[tried] for tried in sorted(said) if tried > value]
    limit = str(above[0]) if above else "images"
    return Found(f"{name}.{phase.batch_setting}", value, images_of(recipe, data, name, value), most, limit, peak)


def on_cpu(recipe: Recipe) -> bool:
    """Whether the recipe trains on the CPU here."""
    return recipe.runtime.device == "cpu" or (recipe.runtime.device == "auto" and not torch.cuda.is_available())


def bounds(recipe: Recipe, data: Dataset, name: PhaseName) -> tuple[int, int]:
    """Least and most of the phase's setting: at most the training images, of P x K those of the smallest class."""
    phase, labels = recipe.phase(name), data.labels[data.rows("train")]
    if not isinstance(phase, Embed):
        return 1, epoch_size(labels, phase.imbalance)
    if not phase.uses_labels:
        return 2, len(labels)
    return 2, int(np.bincount(labels).min())


def images_of(recipe: Recipe, data: Dataset, name: PhaseName, value: int) -> int:
    """Images of a step at this value; of both views of an image one is counted."""
    phase = recipe.phase(name)
    return phase.model_copy(update={phase.batch_setting: value}).batch_images(len(data.classes))


def largest(fits: Callable[[int], bool], first: int, least: int, most: int) -> int:
    """The largest value that fits, to within a sixteenth of it; `least` where none does.

    Parameters
    ----------
    fits : callable
        `fits(value) -> bool`; whatever is smaller than one that fits does too.
    first : int
        Tried first; in least..most.

    Examples
    --------
    >>> tried = []
    >>> largest(lambda value: tried.append(value) or value <= 100, 32, 1, 1000), tried
    (100, [32, 64, 128, 96, 112, 104, 100])
    """
    good, bad, value = 0, most + 1, first
    while good < most:
        if fits(value):
            good = value
        else:
            bad = value
        if bad <= least or (good and bad - good <= max(1, good // 16)):
            break
        if not good:
            value = max(least, bad // 2)
        elif bad > most:
            value = min(2 * good, most)
        else:
            value = (good + bad) // 2
    return good or least


def isolated(asked: TrialConfig) -> float | str:
    """The trial's peak memory, MiB, or why it failed; a process that the system ends says nothing, and failed too."""
    # forked from a server that has imported everything and computed nothing: safe for threads and for CUDA
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([trial.__name__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=trial.answer, args=(asked, theirs))
    process.start()
    theirs.close()
    try:
        said: float | str = ours.recv()
    except EOFError:
        said = ""
    process.join()
    return said if said != "" else f"the system ended it (signal {-(process.exitcode or 0)})"
