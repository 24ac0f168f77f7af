"""Files that are whole or not there: written beside their place, synced, and renamed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from contrastive_cxr.errors import CcxrError

# the end of the name of a file that is being written
PARTIAL = ".partial"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place, sync it, and rename it: readers see the old one or the new one, whole.

    Parameters
    ----------
    path : Path
        The file; its folder is made where it is missing.
    content : bytes
        All of it.

    Raises
    ------
    CcxrError
        The disk is full or the folder cannot be written to; the old file is untouched.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise CcxrError(f"cannot write '{path}': {error.strerror}; nothing was changed there") from error


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
