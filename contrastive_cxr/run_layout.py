"""How a run folder is laid out: its phases, the stages of a cascade, and which of its folders hold a model."""

from __future__ import annotations

import json
import re
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


def pool_parts(run: Path) -> list[str]:
    """Names of the runs that a run over seeds or folds consists of; empty if `run` is none, or its list is damaged."""
    try:
        return [str(name) for name in json.loads((run / "parts.json").read_text(encoding="utf-8"))["parts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def kind_of(parts: Sequence[str]) -> str:
    """`seeds`, `folds`, or `runs` if the names do not say which."""
    for word in ("seed", "fold"):
        if all(re.fullmatch(rf"{word}\d+", name) for name in parts):
            return f"{word}s"
    return "runs"
