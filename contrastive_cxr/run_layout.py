"""How a run folder is laid out: its phases, the stages of a cascade, and which of its folders hold a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

PhaseName = Literal["pretrain", "embed", "finetune"]

PHASES: tuple[PhaseName, ...] = ("pretrain", "embed", "finetune")
"""The phases in the order of their training; each has a folder of its name."""
STAGES = ("flat", "stage1", "stage2")
"""The runs that a cascade consists of; each has a folder of its name, which is a run folder."""
CLASSIFIERS: tuple[PhaseName, ...] = ("finetune", "pretrain")
"""The phases whose model has a classifier, the one to use first."""
EMBEDDERS: tuple[PhaseName, ...] = ("embed", "pretrain", "finetune")
"""The phases whose backbone another run may start from, the one to use first: finetune's is embed's, or was thawed."""
MODEL, WEIGHTS = "model.json", "model.safetensors"


def has_model(folder: Path) -> bool:
    """Whether a folder holds a finished model."""
    return (folder / MODEL).is_file()


def phases_with_model(run: Path) -> list[PhaseName]:
    """The phases that have a model in `run`, in the order of their training."""
    return [name for name in PHASES if has_model(run / name)]


def model_folder(path: Path, phases: Sequence[PhaseName]) -> Path | None:
    """The folder of a model: `path` itself, or the first of its `phases` that has one; None without any."""
    return next((folder for folder in (path, *(path / name for name in phases)) if has_model(folder)), None)
