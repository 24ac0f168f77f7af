"""How often the same work has ended the worker that did it: Ray Data would begin it again for ever."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MOST = 5
"""Deaths of workers at one job, on one machine, after which it is given up: a file that ends every process that opens
it, or a batch that needs more memory than there is."""


def folder_of(stream: str) -> Path:
    """Where the attempts of a stream are counted on this machine."""
    return Path(tempfile.gettempdir()) / f"ccxr-stream-{stream}"


@contextmanager
def counted(stream: str, step: str, number: int) -> Iterator[int]:
    """Count an attempt, and forget it where it ends in a living process.

    Yields
    ------
    int
        Earlier attempts on this machine that did not end: their worker died.
    """
    file = folder_of(stream) / f"{step}-{number}"
    file.parent.mkdir(parents=True, exist_ok=True)
    died = file.stat().st_size if file.exists() else 0
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "ab") as open_file:
        open_file.write(b".")
    try:
        yield died
    finally:
        with suppress(OSError):
            file.unlink()


def forget(stream: str) -> None:
    """Remove what is counted of a stream on this machine."""
    place = folder_of(stream)
    with suppress(OSError):
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
