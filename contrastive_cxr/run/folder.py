"""The folder of a run: who may write into it, and its JSON, arrays and tables, each whole or not there."""

from __future__ import annotations

import io
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from contrastive_cxr import files, locks
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import PARTIAL, make_folder, tidy, tidy_tree, write_bytes

if TYPE_CHECKING:
    import pandas

# the mark of a run: written first, removed last
MARK = "recipe.yaml"
OURS = re.compile(
    r"recipe\.yaml|environment\.json|manifest\.(csv|digest)|inputs\.json|split\.csv|report\.(json|html)|augmentation[-a-z]*\.png"
    r"|predictions-\d+\.png|model-card\.md"
    r"|(parts|pooled|audit)\.json|audit\.html|wandb(\.json)?|tensorboard|external-[a-z]+(-gallery)?"
    r"|(train|val|test)-gallery|explain|pretrain|embed|finetune|flat|stage[12]|(fold|seed)[-_]?\d+|arrays|done\.json|\..*\.(partial|renames)"
)


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
        The folder holds a run and neither was asked for; it holds something that is no run; it cannot be made; another
        process is at work in it.
    """
    path = Path(path)
    check(path, resume=resume, overwrite=overwrite)
    if overwrite and (path / MARK).exists():
        _remove(sorted(path.iterdir()))
    try:
        make_folder(path)
        tidy_run(path)
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
        is no run; another process is at work in it.
    """
    if resume and overwrite:
        raise RequestError("--resume and --overwrite exclude each other; name one")
    if path.exists() and not path.is_dir():
        raise RequestError(f"'{path}' is a file; name a folder for the run")
    locks.refuse_held(path / locks.NAME, f"the run folder '{path}'")
    there = sorted(path.iterdir()) if path.exists() else []
    if (path / MARK).exists():
        if not (resume or overwrite):
            raise RequestError(f"'{path}' already holds a run; --resume goes on with it, --overwrite replaces it")
        return
    strange = [item.name for item in there if not item.name.endswith(PARTIAL) and item.name != locks.NAME]
    if strange:
        raise RequestError(
            f"'{path}' is not empty and holds no run (no {MARK}; there is '{strange[0]}'); name another folder"
        )


@contextmanager
def held(path: Path, *, first: bool = True) -> Iterator[None]:
    """Hold a run's folder while something writes into it; what a killed process left half-written there is removed.

    Parameters
    ----------
    path : Path
        The folder; made where it is missing.
    first : bool
        Whether this is the first process of several: the others hold nothing.

    Raises
    ------
    RequestError
        Another process holds it: which one, where, since when.
    """
    if not first:
        yield
        return
    with locks.held(path / locks.NAME, f"the run folder '{path}'"):
        tidy_run(path)
        yield


def tidy_run(path: Path) -> None:
    """Take away what killed processes left half-written in a run's folder, which the caller holds."""
    tidy(path, held=True)
    for item in path.iterdir():
        if OURS.fullmatch(item.name) and item.is_dir() and item.name not in ("wandb", "tensorboard"):
            tidy_tree(item)


def _remove(items: list[Path]) -> None:
    """Remove what a run wrote; its mark goes last, so an interrupted removal still looks like a run.

    Its rows go just before: as long as a phase is there, so is what says of which images it is.
    """
    last = ("manifest.csv", MARK)
    ours = [item for item in items if OURS.fullmatch(item.name)]
    for item in sorted(ours, key=lambda item: last.index(item.name) if item.name in last else -1):
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
        return files.read_json(Path(path))
    except (OSError, ValueError) as error:
        raise RequestError(f"'{path}' cannot be read ({error}); is this a finished run?") from error


def write_array(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write one array as `.npy`, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_array(path: Path, mapped: bool = False) -> np.ndarray[Any, Any]:
    """The array of a `.npy` file; its header is held to the file's size before memory is taken, no pickle is opened.

    Parameters
    ----------
    mapped : bool
        Leave it on disk, for reading.

    Raises
    ------
    RequestError
        The file is missing, cut short, of objects, or its header lies.
    """
    try:
        if not Path(path).is_file():
            raise ValueError("there is no such file")
        with Path(path).open("rb") as file:
            start = file.read(12)
        if start[:6] != b"\x93NUMPY":
            raise ValueError("it is no .npy file")
        # formats 2 and 3 state the length of their header in four bytes, and NumPy makes room for it
        if start[:7] in (b"\x93NUMPY\x02", b"\x93NUMPY\x03"):
            length = int.from_bytes(start[8:], "little")
            if length > path.stat().st_size:
                raise ValueError(f"its header of {length} bytes is longer than the file")
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a made-up header makes NumPy's parser raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(f"'{path}' cannot be read as an array ({reason}); is this a finished run?") from error
    return np.asarray(found) if mapped else np.array(found)


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
