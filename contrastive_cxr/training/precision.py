"""`runtime.precision=auto`: the precision and memory layout that train this network fastest on this machine."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from contrastive_cxr import engine, files, terminal
from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.preflight.model_checks import steps
from contrastive_cxr.recipe.schema import Finetune, Recipe, Runtime
from contrastive_cxr.run import environment, processes
from contrastive_cxr.run_layout import PhaseName
from contrastive_cxr.training import step_time

logger = logging.getLogger(__name__)

WORTH = 1e7  # pixels that pass through the network in the whole training: 600 images of 128 x 128 pixels
GAIN = 1.1  # how much faster another choice has to be than float32 in channels-last layout
PATIENCE = 30.0  # seconds of measuring after which there is no second round
FILE = "speed.json"


class Choice(NamedTuple):
    """Settings of `runtime` that change the speed."""

    precision: str
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.precision}, {'channels last' if self.channels_last else 'channels first'}"


PLAIN = Choice("32-true", True)
CHOICES = (PLAIN, Choice("bf16-mixed", True), Choice("32-true", False))


def settled(
    recipe: Recipe, data: Dataset, order: Sequence[PhaseName], *, may_measure: bool = True
) -> tuple[Recipe, dict[str, Any]]:
    """The recipe with a precision and a layout in the place of `auto`.

    A few steps of the first phase are timed with each choice, and the result is kept in the cache folder by machine,
    versions, network and batch. Not measured, and float32 in channels-last layout: a training of less than `WORTH`
    pixels, and a phase that trains a head on stored vectors. Not measured either: several processes, which take
    bfloat16 on GPUs that have it.

    Parameters
    ----------
    may_measure : bool
        False, for a dry run: what no earlier run has measured stays `auto`.

    Returns
    -------
    Recipe
        The same object if nothing is `auto`.
    dict
        For `environment.json`: `precision`, `channels_last`, `why` (a sentence) and, if it was measured,
        `images_per_second` of each choice and the `phase`. Empty if nothing is `auto`.
    """
    allowed = [choice for choice in CHOICES if allows(recipe.runtime, choice)]
    if "auto" not in (recipe.runtime.precision, recipe.runtime.channels_last):
        return recipe, {}
    if not allowed:  # a precision that is set, or a layout, decides for itself
        allowed = [with_set(recipe.runtime)]
    trained = [name for name in order if not on_vectors(recipe, name)]
    if len(allowed) == 1:
        found = facts(allowed[0], "the recipe sets the rest")
    elif processes.count() > 1:
        found = facts(for_several(recipe.runtime, allowed), "not measured, as several processes train together")
    elif not trained or pixels(recipe, data, trained) < WORTH:
        found = facts(allowed[0], "not measured, as the training is short")
    else:
        known = kept_speeds(recipe, trained[0], allowed)
        if not known and not may_measure:
            return recipe, {}
        found = measured(recipe, data, trained[0], allowed, known)
    return with_choice(recipe, Choice(found["precision"], found["channels_last"])), found


def allows(runtime: Runtime, choice: Choice) -> bool:
    """Whether the recipe leaves a choice open."""
    return runtime.precision in ("auto", choice.precision) and runtime.channels_last in ("auto", choice.channels_last)


def with_set(runtime: Runtime) -> Choice:
    """What the recipe sets, and channels-last layout, where it sets what no choice has."""
    precision = PLAIN.precision if runtime.precision == "auto" else runtime.precision
    return Choice(precision, runtime.channels_last is not False)


def with_choice(recipe: Recipe, choice: Choice) -> Recipe:
    """The recipe with the settings of a choice."""
    return recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update=choice._asdict())})


def on_vectors(recipe: Recipe, name: PhaseName) -> bool:
    """Whether a phase trains on stored vectors alone."""
    phase = recipe.phase(name)
    return isinstance(phase, Finetune) and phase.on_vectors


def pixels(recipe: Recipe, data: Dataset, order: Sequence[PhaseName]) -> float:
    """Pixels that pass through the network in the whole training."""
    images = 0
    for name in order:
        per_epoch, batch = steps(recipe, data, name)
        images += recipe.phase(name).epochs * per_epoch * batch * recipe.phase(name).views
    return float(images * recipe.model.image_size**2)


def for_several(runtime: Runtime, allowed: Sequence[Choice]) -> Choice:
    """What several processes take without measuring: they have to agree before they can talk to each other."""
    fast = [each for each in allowed if each.precision == "bf16-mixed"] if on_gpu(runtime) and has_bf16() else []
    return [*fast, *allowed][0]


def on_gpu(runtime: Runtime) -> bool:
    """Whether a run trains on a GPU here."""
    return runtime.device != "cpu" and torch.cuda.is_available()


def has_bf16() -> bool:
    """Whether the GPU multiplies bfloat16 itself."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def facts(choice: Choice, why: str) -> dict[str, Any]:
    """A choice for `environment.json`."""
    return {**choice._asdict(), "why": why}


def kept_speeds(recipe: Recipe, name: PhaseName, allowed: Sequence[Choice]) -> dict[str, float]:
    """Images a second of each choice, if an earlier run measured all of them; else empty."""
    kept = earlier(cache_folder(recipe.data.cache_dir) / FILE).get(machine_and_network(recipe, name), {})
    return kept if set(map(str, allowed)) <= set(kept) else {}


def measured(
    recipe: Recipe, data: Dataset, name: PhaseName, allowed: Sequence[Choice], known: dict[str, float]
) -> dict[str, Any]:
    """The fastest choice by `known` speeds, or measured now; a line on the terminal says what was measured now."""
    speeds, source = known, "measured by an earlier run"
    if not known:
        terminal.stage("measuring which precision is fastest")
        speeds, source = measure(recipe, data, name, allowed), "measured"
        if not any(speeds.values()):
            return facts(allowed[0], "no choice could be tried here")
        file = cache_folder(recipe.data.cache_dir) / FILE
        keep(file, {**earlier(file), machine_and_network(recipe, name): speeds})
    best = fastest({choice: speeds[str(choice)] for choice in allowed})
    if source == "measured":
        words = "; ".join(f"{choice}: {speed:.1f}" for choice, speed in speeds.items())
        logger.warning("runtime.precision=auto: %s (images/s of %s: %s)", best, name, words)
    return {**facts(best, source), "phase": name, "images_per_second": speeds}


def fastest(speeds: dict[Choice, float]) -> Choice:
    """The first choice, unless another is at least `GAIN` times as fast."""
    first = next(iter(speeds))
    best = max(speeds, key=lambda choice: speeds[choice])
    return best if speeds[best] >= GAIN * speeds[first] else first


def measure(recipe: Recipe, data: Dataset, name: PhaseName, allowed: Sequence[Choice]) -> dict[str, float]:
    """Images a second of a phase with each choice, the better of two rounds; 0 where it cannot be done here.

    There is one round if that takes more than `PATIENCE` seconds.
    """
    began, speeds = time.monotonic(), dict.fromkeys(map(str, allowed), 0.0)
    for _ in range(2):
        for choice in allowed:
            speeds[str(choice)] = max(speeds[str(choice)], speed(recipe, data, name, choice))
        if time.monotonic() - began > PATIENCE:
            break
    return speeds


def speed(recipe: Recipe, data: Dataset, name: PhaseName, choice: Choice) -> float:
    """Images a second of two steps; 0 if this machine or this network cannot do it."""
    runtime = step_time.for_timing(recipe.runtime).model_copy(update=choice._asdict())
    if choice.precision == "bf16-mixed" and on_gpu(runtime) and not has_bf16():
        return 0.0
    try:
        with step_time.silenced():  # Fabric announces each precision
            fabric = engine.launch(runtime)
        timed = step_time.timed_phase(recipe.model_copy(update={"runtime": runtime}), data, name, fabric)
    except (RuntimeError, ValueError, CcxrError):  # torch lacks a kernel, or the memory is too small
        return 0.0
    return round(timed.images / timed.step, 2)


def machine_and_network(recipe: Recipe, name: PhaseName) -> str:
    """What a measurement holds for, as JSON; another one is another key."""
    return json.dumps(
        {
            "device": torch.cuda.get_device_name() if on_gpu(recipe.runtime) else environment.cpu_model(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "phase": name,
            "backbone": recipe.model.backbone,
            "image_size": recipe.model.image_size,
            "trainable": recipe.phase(name).trainable,
            "batch": getattr(recipe.phase(name), recipe.phase(name).batch_setting),
        },
        sort_keys=True,
    )


def earlier(file: Path) -> dict[str, dict[str, float]]:
    """What earlier runs measured; nothing if the file is missing or damaged."""
    with suppress(OSError, ValueError, CcxrError):
        kept = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(kept, dict) and all(isinstance(each, dict) for each in kept.values()):
            return kept
    return {}


def keep(file: Path, kept: dict[str, dict[str, float]]) -> None:
    """Write the file, if the folder can be written; else the next run measures again."""
    with suppress(OSError, CcxrError):
        files.write_bytes(file, json.dumps(kept, indent=1, sort_keys=True).encode())
