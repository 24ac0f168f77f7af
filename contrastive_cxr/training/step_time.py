"""How long a training takes: two steps of each phase, timed on this machine, and what they come to."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from contrastive_cxr import engine, phases, terminal
from contrastive_cxr.data.batches import Images
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric, FitSpec, Place
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.phases.context import View
from contrastive_cxr.preflight.model_checks import steps
from contrastive_cxr.recipe.schema import Embed, Finetune, Phase, Recipe, Runtime
from contrastive_cxr.run import processes
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_layout import PhaseName
from contrastive_cxr.training import trial
from contrastive_cxr.training.trial import TrialConfig

STEPS = 3  # the first one allocates memory and optimiser state, two are timed
IMAGES = 16  # of a timed step and of a timed validation on a CPU; a GPU takes the whole batch
PICTURES = 64  # real images that the timed batches are made of


@dataclass
class Clock:
    """When steps and validation began and when the validation ended; and what encoding took: seconds and images."""

    marks: list[float] = field(default_factory=list)
    seconds: float = 0.0
    images: int = 0


@dataclass(frozen=True)
class Timed:
    """Seconds of a step of so many images, of a validation image, and of an image that is encoded once."""

    step: float
    images: int
    validated: float
    encoded: float


@dataclass(frozen=True)
class TimedContext(PhaseContext):
    """A phase that runs as ever, but looks at the clock."""

    clock: Clock = field(default_factory=Clock)

    def spec(self, name: PhaseName, phase: Phase, network: nn.Module, **parts: Any) -> FitSpec:
        """The phase's orders, the beginning of each step, and both ends of the validation noted."""
        step, validate = parts["step"], parts["validate"]

        def noted_step(*given: Any) -> Any:
            self.clock.marks.append(self._now())
            return step(*given)

        def noted_validation(*given: Any) -> Any:
            self.clock.marks.append(self._now())
            found = validate(*given)
            self.clock.marks.append(self._now())
            return found

        return super().spec(name, phase, network, **{**parts, "step": noted_step, "validate": noted_validation})

    def _now(self) -> float:
        if self.fabric.device.type == "cuda":
            torch.cuda.synchronize(self.fabric.device)
        return time.monotonic()

    def encode(
        self, network: nn.Module, images: Images, rows: NDArray[np.int64], view: View | None = None,
        function: Callable[..., Any] | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """The vectors of the images; the time that they take is kept."""
        began = self._now()
        found = super().encode(network, images, rows, view, function)
        self.clock.seconds += self._now() - began
        self.clock.images += len(rows)
        return found


def seconds(recipe: Recipe, parts: Sequence[tuple[Recipe, Dataset, Sequence[PhaseName]]]) -> dict[PhaseName, float]:
    """About how many seconds each phase trains here, its validations included; scores and report are not.

    Parameters
    ----------
    recipe : Recipe
        Of the whole run: its phases are timed once.
    parts : sequence of (recipe, images, phases)
        What would be run; of a cascade its three tasks.

    Raises
    ------
    CcxrError
        The device is not there, there are several processes, or the step does not fit into the memory.
    """
    if processes.count() > 1:
        raise CcxrError("steps are timed on one process; start --dry-run without torchrun")
    runtime = for_timing(recipe.runtime)
    fabric = engine.launch(runtime)
    _, data, order = parts[0]
    found: dict[PhaseName, float] = {}
    with terminal.Stages("timing", len(order)):
        for name in order:
            terminal.stage(f"two steps of {name}")
            try:
                timed = timed_phase(recipe.model_copy(update={"runtime": runtime}), data, name, fabric)
            except (RuntimeError, ValueError) as error:  # torch's own words, such as those about memory
                raise CcxrError(f"{name}: {str(error).strip().splitlines()[0]}") from error
            found[name] = sum(_whole(part, images, name, timed) for part, images, _ in parts)
    return found


def for_timing(runtime: Runtime) -> Runtime:
    """The machine as a few steps are timed on it: nothing that lasts longer than they do, or needs other processes."""
    return runtime.model_copy(update={"compile": False, "keep_freed_memory": False, "sync_batchnorm": False})


def place_of(recipe: Recipe, data: Dataset, order: Sequence[PhaseName], number: int) -> Place:
    """Where the phase `order[number]` stands in its run, for the time that is left of all phases.

    The work of the later phases is counted in images that pass through the network, forward and back; encoding is a
    third of that.
    """
    views = recipe.phase(order[number]).views
    later = sum(_passes(recipe, data, name) for name in order[number + 1 :])
    return Place(number + 1, len(order), later / views)


def _passes(recipe: Recipe, data: Dataset, name: PhaseName) -> float:
    """Training images of a phase, each as often as it passes through the network."""
    phase = recipe.phase(name)
    if isinstance(phase, Finetune) and phase.on_vectors:
        return (len(data.rows("train")) + len(data.rows("val"))) / 3
    per_epoch, batch = steps(recipe, data, name)
    return float(phase.epochs * per_epoch * batch * phase.views)


def timed_phase(recipe: Recipe, data: Dataset, name: PhaseName, fabric: Fabric) -> Timed:
    """Run `STEPS` steps and one validation of a phase on some of its images, and time them."""
    phase = recipe.phase(name)
    value = getattr(phase, phase.batch_setting)
    several = len(data.classes) if phase.batch_setting == "images_per_class" else 1
    if fabric.device.type == "cpu":
        value = min(value, max(2, IMAGES // several))
    value = min(value, max(2, len(data.rows("train")) // several))
    pictures = data.take(data.rows("train")[: min(value * several, PICTURES)])
    asked = TrialConfig(recipe, name, value, pictures, max(IMAGES, len(data.classes)), None)
    short = few_steps(recipe, name, value)
    clock, stand_in = Clock(), trial.stand_in(short, asked, STEPS)
    with tempfile.TemporaryDirectory() as folder, silenced():
        phases.TRAIN[name](TimedContext(short, stand_in, fabric, Path(folder) / name, None, Tracker(), clock=clock))
    *_, first, _, validation, end = clock.marks  # of the timed steps the first, the second, and what came after
    images = steps(short, stand_in, name)[1]
    validated = (end - validation) / len(stand_in.rows("val"))
    return Timed((validation - first) / 2, images, validated, clock.seconds / max(clock.images, 1))


@contextmanager
def silenced() -> Iterator[None]:
    """No progress, and no warnings about a phase of three steps."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with terminal.silence():
            yield
    finally:
        logging.disable(before)


def few_steps(recipe: Recipe, name: PhaseName, value: int) -> Recipe:
    """The recipe whose phase is one epoch of `STEPS` steps, from random weights."""
    short = trial.two_steps(recipe, name, value)
    phase = short.phase(name)
    changes: dict[str, Any] = {"epochs": 1, "validate_every": 1}
    changes |= {"steps_per_epoch": STEPS} if isinstance(phase, Embed) else {"accumulate": 1}
    return short.model_copy(update={name: phase.model_copy(update=changes)})


def _whole(recipe: Recipe, data: Dataset, name: PhaseName, timed: Timed) -> float:
    """Seconds of a whole phase: its steps, its validations, and the vectors that a frozen encoder is asked for once."""
    phase = recipe.phase(name)
    per_epoch, batch = steps(recipe, data, name)
    training = phase.epochs * per_epoch * timed.step * batch / timed.images
    val, train = len(data.rows("val")), len(data.rows("train"))
    if isinstance(phase, Finetune) and phase.on_vectors:
        return training + (train + val) * timed.encoded
    return training + -(-phase.epochs // phase.validate_every) * val * timed.validated
