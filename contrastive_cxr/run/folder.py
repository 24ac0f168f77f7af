"""The folder of a run: who may write into it, and its JSON, arrays and tables, each whole or not there."""

from __future__ import annotations

import importlib.metadata
import io
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import PARTIAL, write_bytes

if TYPE_CHECKING:
    import pandas

# the mark of a run: written first, removed last
MARK = "recipe.yaml"
OURS = re.compile(
    r"recipe\.yaml|environment\.json|manifest\.(csv|digest)|split\.csv|report\.(json|html)|augmentation[-a-z]*\.png"
    r"|predictions-\d+\.png|model-card\.md"
    r"|(parts|pooled|audit)\.json|audit\.html|wandb(\.json)?|external-[a-z]+|explain"
    r"|pretrain|embed|finetune|flat|stage[12]|(fold|seed)[-_]?\d+|arrays|.*\.partial"
)
PACKAGES = (
    "numpy", "pandas", "torch", "torchvision", "timm", "lightning-fabric", "kornia", "pytorch-metric-learning",
    "faiss-cpu", "faiss-gpu", "scikit-learn", "wandb",
)  # fmt: skip


def create(path: Path, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Make the folder of a run, or open an existing one when that was asked for.

    Parameters
    ----------
    path : Path
        The run's folder.
    resume : bool
        Go on in a folder that holds a run.
    overwrite : bool
        Remove the run that the folder holds: its known files and folders only, others stay.

    Raises
    ------
    RequestError
        The folder holds a run and neither was asked for; it holds something that is no run; it cannot be made.
    """
    path = Path(path)
    check(path, resume=resume, overwrite=overwrite)
    if overwrite and (path / MARK).exists():
        _remove(sorted(path.iterdir()))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot make the folder '{path}': {error.strerror}; name another with --out") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise RequestError(f"the folder '{path}' cannot be written to; name another with --out")
    return path


def check(path: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Refuse what `create` would refuse of the folder as it is, and change nothing.

    Raises
    ------
    RequestError
        The folder holds a run and neither `resume` nor `overwrite` was asked for; it is a file, or holds something that
        is no run.
    """
    if resume and overwrite:
        raise RequestError("--resume and --overwrite exclude each other; name one")
    if path.exists() and not path.is_dir():
        raise RequestError(f"'{path}' is a file; name a folder for the run")
    there = sorted(path.iterdir()) if path.exists() else []
    if (path / MARK).exists():
        if not (resume or overwrite):
            raise RequestError(f"'{path}' already holds a run; --resume goes on with it, --overwrite replaces it")
    elif any(not item.name.endswith(PARTIAL) for item in there):
        raise RequestError(
            f"'{path}' is not empty and holds no run (no {MARK}; there is '{there[0].name}'); name another folder"
        )


def _remove(items: list[Path]) -> None:
    """Remove what a run wrote; its mark goes last, so an interrupted removal still looks like a run."""
    for item in sorted((item for item in items if OURS.fullmatch(item.name)), key=lambda item: item.name == MARK):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()


def require_space(path: Path, needed: int) -> None:
    """Raise a `RequestError` where the disk of `path` has less than `needed` bytes free."""
    place = next(folder for folder in (Path(path).absolute(), *Path(path).absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise RequestError(
            f"'{path}' needs {needed / 2**20:.0f} MiB, its disk has {free / 2**20:.0f} MiB free; "
            "make room or choose another disk"
        )


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all: keys in their order, NaN and infinity as null, arrays as lists."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises
    ------
    RequestError
        The file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"'{path}' cannot be read ({error}); is this a finished run?") from error


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write one array as `.npy`, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def write_table(path: Path, table: pandas.DataFrame) -> None:
    """Write a table as CSV without its index, whole or not at all."""
    write_text(path, table.to_csv(index=False))


def plain(value: Any) -> Any:
    """What JSON can hold: NumPy and torch scalars as numbers, arrays as lists, paths as text, NaN as None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def environment() -> dict[str, Any]:
    """What a run depends on besides its recipe: versions, machine, threads, commit of the source tree."""
    import torch  # here: the other functions of this file are called before torch is wanted

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu",
        "commit": _commit(),
        "versions": versions,
    }


def _commit() -> str | None:
    """Commit of the source tree this package is run from; None where it is installed or git is missing."""
    tree = Path(__file__).resolve().parents[2]
    if not (tree / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(tree), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
