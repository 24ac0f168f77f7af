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


class Together:
    """Files of one folder that change together: each is written beside its place, and all are renamed at the end.

    Used as a context; where anything fails inside it, nothing has changed. For files too large to be held in memory.

    Parameters
    ----------
    folder : Path
        Made where it is missing.

    Raises
    ------
    CcxrError
        The disk is full or the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)
        self._beside: dict[str, Path] = {}

    def __enter__(self) -> Together:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CcxrError(f"cannot make the folder '{self._folder}': {error.strerror}") from error
        return self

    def place(self, name: str) -> Path:
        """Where to write the file `name` for now; files take their places in the order they were asked for."""
        return self._beside.setdefault(name, self._folder / f".{name}.{os.getpid()}{PARTIAL}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if kind is None:
                for beside in self._beside.values():
                    with beside.open("rb") as file:
                        os.fsync(file.fileno())
                for name, beside in self._beside.items():
                    os.replace(beside, self._folder / name)
                _sync_folder(self._folder)
        except OSError as fault:
            raise CcxrError(f"cannot write '{self._folder}': {fault.strerror}") from fault
        finally:
            for beside in self._beside.values():
                with suppress(OSError):
                    beside.unlink()
        if isinstance(error, OSError):
            raise CcxrError(f"cannot write '{self._folder}': {error.strerror}; nothing was changed there") from error
