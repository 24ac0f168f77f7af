"""The disk that a run will need, before it is begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from contrastive_cxr import models
from contrastive_cxr.augment.corruptions import CASES
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.preflight.model_checks import steps
from contrastive_cxr.recipe.schema import Embed, Finetune, Recipe
from contrastive_cxr.run import tracking
from contrastive_cxr.run_layout import PhaseName
from contrastive_cxr.space import free, size_words

FLOAT = 4
ROW = 400
"""Bytes of an image's line in a table: its path, labels, digest."""
TILE = 4096
"""Bytes of a scored image's small picture."""
PAGES = 16 * 2**20
"""Bytes of report, pictures and records, whatever the data."""
LOG_ROW = 400
"""Bytes of a row of `metrics.jsonl`."""
LOG_EVERY = 10
SHOWN = 6 * 2**20
"""Bytes of the curves, cases and pictures that a tracker shows."""
PROJECTED = 16
"""Bytes of a vector's number as text, in a tracker's table."""
HEAD_BYTES = 2**16
"""Names and shapes in a file of weights, and its record."""
Part = tuple[Recipe, Dataset, Sequence[PhaseName]]
"""A run: its recipe, its images, its phases."""
# tensors of a parameter's size that an optimiser keeps
OPTIMISER = {"sgd": 1, "rmsprop": 2, "adam": 2, "adamw": 2}


def network(recipe: Recipe, data: Dataset, name: PhaseName) -> models.Network:
    """A phase's network on the meta device, its blocks frozen as they will be."""
    phase = recipe.phase(name)
    embed = recipe.embed or Embed()
    projection = {"pretrain": (), "embed": embed.projection, "finetune": embed.kept_projection}[name]
    classes = 0 if isinstance(phase, Embed) else len(data.classes)
    hidden = () if isinstance(phase, Embed) else phase.hidden
    with torch.device("meta"):
        built = models.build(recipe.model, projection=projection, classes=classes, hidden=hidden, mean=0, std=1, seed=0)
    built.train_only(phase.trainable)
    return built


def needs(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> Counter[str]:
    """Bytes that a run of these phases comes to at its largest, by what they are for; somewhat more than it takes.

    Parameters
    ----------
    data : Dataset
        Opened: the images' own cache is there already, and not part of this.
    """
    found: Counter[str] = Counter()
    writing = left = 0
    for name in phases:
        whole = network(recipe, data, name)
        last, best = checkpoint_sizes(recipe, data, name, whole)
        every = last + kept(recipe, last, best) * best
        found["checkpoints"] = max(found["checkpoints"], left + every)
        left += left_over(recipe, every, last)
        found["models"] += state_size(whole) + HEAD_BYTES
        found["arrays and tables"] += arrays_size(data, whole)
        if recipe.evaluation.robustness == "on" and name == phases[-1]:
            found["arrays and tables"] += len(CASES) * scored(data) * len(data.classes) * FLOAT
        found["logs"] += logs_size(recipe, data, name)
        writing = max(writing, last + best)
    found["checkpoints being replaced"] = writing
    found["report and pictures"] = PAGES + TILE * scored(data) + 2 * ROW * len(data)
    shown = SHOWN + PROJECTED * min(scored(data), 500) * max(whole.embedding_size, whole.width)
    if tracking.uses_wandb(recipe.tracking):
        found["Weights & Biases"] = 2 * found["logs"] + 2**20 + shown
    if "tensorboard" in recipe.tracking.to:
        found["TensorBoard"] = found["logs"] + 2**20 + shown
    return found


def left_over(recipe: Recipe, every: int, last: int) -> int:
    """Bytes of checkpoints that a phase leaves when it is finished (`PhaseContext.finish`), of `every` that it had."""
    runtime = recipe.runtime
    if runtime.keep_finished:
        return every
    return every - last if runtime.keep_checkpoints > 1 else 0


def scored(data: Dataset) -> int:
    """Images of the part that a run is scored on."""
    return len(data.rows("test")) or len(data.rows("val"))


def state_size(network: nn.Module) -> int:
    """Bytes of all weights and buffers."""
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def checkpoint_sizes(recipe: Recipe, data: Dataset, name: PhaseName, whole: models.Network) -> tuple[int, int]:
    """Bytes of `last.ckpt` and of a best checkpoint."""
    phase = recipe.phase(name)
    alone = isinstance(phase, Finetune) and phase.on_vectors
    trained: nn.Module = whole.classifier if alone and whole.classifier is not None else whole
    state = state_size(trained)
    moved = sum(value.numel() * FLOAT for value in trained.parameters() if value.requires_grad)
    tally = len(data.rows("train")) * (len(data.classes) * FLOAT + 8)
    remembers = isinstance(phase, Embed) or (isinstance(phase, Finetune) and phase.contrastive > 0)
    memory = recipe.embed.memory_bank_size * (whole.embedding_size * FLOAT + 16) if remembers and recipe.embed else 0
    averaged = state if phase.ema_decay > 0 else 0
    return state + averaged + OPTIMISER[phase.optimiser.name] * moved + tally + memory + HEAD_BYTES, state + HEAD_BYTES


def kept(recipe: Recipe, last: int, best: int) -> int:
    """How many best checkpoints a phase keeps."""
    runtime = recipe.runtime
    if runtime.checkpoint_mib == 0:
        return runtime.keep_checkpoints
    return max(1, min(runtime.keep_checkpoints, int((runtime.checkpoint_mib * 2**20 - last) // best)))


def arrays_size(data: Dataset, whole: models.Network) -> int:
    """Bytes of a phase's vectors, probabilities and tables of rows."""
    train, asked, val = len(data.rows("train")), scored(data), len(data.rows("val"))
    width = max(whole.embedding_size, whole.width)
    answers = 6 * len(data.classes) * 8 + 16
    return (train + asked) * (width * FLOAT + ROW) + asked * (width * FLOAT + answers) + val * (answers + ROW)


def logs_size(recipe: Recipe, data: Dataset, name: PhaseName) -> int:
    """Bytes of `metrics.jsonl` and `timing.jsonl`."""
    epochs = recipe.phase(name).epochs
    return int(epochs * LOG_ROW * (3 + steps(recipe, data, name)[0] / LOG_EVERY))


def limit_faults(recipe: Recipe, data: Dataset, phases: Sequence[PhaseName]) -> list[str]:
    """A `runtime.checkpoint_mib` below what is always kept."""
    limit = recipe.runtime.checkpoint_mib * 2**20
    faults = []
    for name in phases:
        least = sum(checkpoint_sizes(recipe, data, name, network(recipe, data, name)))
        if 0 < limit < least:
            faults.append(
                f"runtime.checkpoint_mib is {recipe.runtime.checkpoint_mib:g} and {name}'s last.ckpt and chosen "
                f"checkpoint, which always stay, come to {least / 2**20:.0f} MiB; set it to at least that, or to 0"
            )
    return faults


def require(out: Path, parts: Sequence[Part]) -> None:
    """Refuse runs that their disk has no room for; what lies in `out` already counts as done, or is replaced.

    Raises
    ------
    RequestError
        How much is missing, and what for; or a limit on checkpoints that cannot be kept to.
    """
    raise_faults(dict.fromkeys(fault for part in parts for fault in limit_faults(*part)))
    needed = total(parts)
    there = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) if out.is_dir() else 0
    wanted, room = max(0, needed.total() - there), free(out)
    if wanted > room:
        what = ", ".join(f"{name} {size_words(size)}" for name, size in needed.most_common())
        instead = "keep less (runtime.keep_checkpoints, runtime.checkpoint_mib, tracking.wandb=off)"
        raise RequestError(
            f"'{out}' needs {size_words(wanted)} more ({what}) and its disk has {size_words(room)} free; make room, "
            f"choose another --out, or {instead}"
        )


def total(parts: Sequence[Part]) -> Counter[str]:
    """Bytes of several runs in one folder, by what they are for."""
    return sum((needs(*part) for part in parts), Counter())
