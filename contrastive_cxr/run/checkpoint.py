"""Checkpoints: whole or not there, and read without running code from them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import is_plain_zip, write_bytes


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    Parameters
    ----------
    path : Path
        The file.
    state : dict
        Tensors, numbers, strings, None, and lists and dicts of them.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises
    ------
    RequestError
        The file is missing, broken or no checkpoint.
    """
    if not Path(path).exists():
        raise RequestError(f"there is no checkpoint '{path}'")
    try:
        # what is no zip archive would be read as torch's old format
        state = is_plain_zip(Path(path)) and torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a made-up pickle makes the unpickler raise anything
        raise RequestError(_broken(path)) from error
    if not isinstance(state, dict):
        raise RequestError(_broken(path))
    return state


def _broken(path: Path) -> str:
    return (
        f"the checkpoint '{path}' cannot be read; it is broken or no checkpoint: "
        "remove its phase's folder and --resume, or start again with --overwrite"
    )
