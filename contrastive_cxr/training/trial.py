"""One trial of a batch, in a process of its own: two steps of a phase and its validation, on stand-in images."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr import engine, phases
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.engine.fabric import peak_memory_mib
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.recipe.schema import Embed, Recipe, Schedule
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.run_layout import PhaseName


@dataclass(frozen=True)
class TrialConfig:
    """What a trial is made of; small enough to be sent to another process.

    Attributes
    ----------
    recipe : Recipe
        As the user gave it.
    name : PhaseName
    value : int
        Of the phase's `batch_setting`.
    images : uint8 [n, 1, S, S]
        Real images, which are taken again and again.
    validation : int
        Images of the validation part.
    memory : int or None
        Bytes that the process may take beyond what it has, of the CPU's memory; None: as much as it gets.
    """

    recipe: Recipe
    name: PhaseName
    value: int
    images: NDArray[np.uint8]
    validation: int
    memory: int | None


def answer(asked: TrialConfig, pipe: Connection) -> None:
    """Try, and send the peak memory in MiB, or in words why it did not go; the bars of a trial are not shown."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        pipe.send(attempt(asked))
    except BaseException as error:  # whatever it is: the parent says it
        pipe.send(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)


def attempt(asked: TrialConfig) -> float:
    """Train two epochs of one step, validate once; returns the peak memory, MiB.

    The second step is the one that counts: in the first the optimiser has no state yet.
    """
    if asked.memory is not None and sys.platform == "linux":
        # private memory alone: what is mapped from files can be given back
        most = kibibytes("/proc/self/status", "VmData:") + asked.memory
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    recipe = two_steps(asked.recipe, asked.name, asked.value)
    fabric = engine.launch(recipe.runtime)
    with tempfile.TemporaryDirectory() as folder:
        data = stand_in(recipe, asked)
        phases.TRAIN[asked.name](PhaseContext(recipe, data, fabric, Path(folder) / asked.name, None, Tracker()))
    return peak_memory_mib(fabric.device)


def two_steps(recipe: Recipe, name: PhaseName, value: int) -> Recipe:
    """The recipe whose phase is two epochs of one step at full image size, from random weights."""
    phase = recipe.phase(name)
    changes: dict[str, Any] = {
        phase.batch_setting: value, "epochs": 2, "validate_every": 2, "choose_by": "last", "initial_image_size": None,
        "schedule": Schedule(),
    }  # fmt: skip
    changes |= {"steps_per_epoch": 1} if isinstance(phase, Embed) else {}
    if not isinstance(phase, Embed):
        changes["head_epochs"] = 0  # the later epochs, which train everything, take most memory
    if getattr(phase, "imbalance", "none") in ("oversample", "undersample"):
        changes["imbalance"] = "none"
    model = recipe.model.model_copy(update={"weights": "none"})
    return recipe.model_copy(update={name: phase.model_copy(update=changes), "model": model})


def stand_in(recipe: Recipe, asked: TrialConfig, batches: int = 1) -> Dataset:
    """A data set whose training part is one batch, or several, its classes in turn, and whose validation part is
    short."""
    classes, phase = len(recipe.task.names), recipe.phase(asked.name)
    several = classes if phase.batch_setting == "images_per_class" else 1
    train = asked.value * several * batches
    count = train + asked.validation
    rows = np.arange(count)
    split = np.where(rows < train, "train", "val")
    blank = pd.DataFrame({name: [""] * count for name in ("path", "root", "label", "patient", "source")})
    return Dataset(
        manifest=Manifest(blank.assign(split=split)),
        task=recipe.task,
        labels=rows % classes,
        patients=np.full(count, -1),
        split=split,
        images=Squares(asked.images, rows % len(asked.images)),
        facts=pd.DataFrame({"digest": [""] * count}),
        mean=0.5,
        std=0.25,
        skipped=pd.DataFrame(),
    )


def free_memory() -> int | None:
    """Bytes of the CPU's memory that this process may still take: the system's, or its control group's; None: unknown.

    Source: proc_meminfo(5), and the kernel's `Documentation/admin-guide/cgroup-v2.rst`.
    """
    if sys.platform != "linux":
        return None
    found = [kibibytes("/proc/meminfo", "MemAvailable:")]
    group = Path("/sys/fs/cgroup")
    if os.access(group / "memory.max", os.R_OK) and (word := (group / "memory.max").read_text().strip()) != "max":
        found.append(int(word) - int((group / "memory.current").read_text()))
    return min(found)


def kibibytes(file: str, name: str) -> int:
    """The line `name  N kB` of a file of proc(5), in bytes."""
    lines = Path(file).read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
