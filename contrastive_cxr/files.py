"""Files that are whole or not there: written beside their place, synced, and renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.space import unwritable

# the end of the name of a file that is being written; what a killed process leaves of it is never read
PARTIAL = ".partial"
# the end of the name of a list of renames that are decided, and perhaps not all done
RENAMES = ".renames"
# part of the names of half-written files: on whose machine they are being written
_MACHINE = f"{zlib.crc32(socket.gethostname().encode()):08x}"
_WRITER = re.compile(rf"\..*\.([0-9a-f]{{8}})-(\d+)(?:-[0-9a-f]+)?{re.escape(PARTIAL)}", re.DOTALL)


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
    beside = beside_of(path)
    try:
        make_folder(path.parent)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # first, so that what is said to be free is
            beside.unlink()
        raise unwritable(path, error, len(content), "nothing was changed there") from error
    finally:
        with suppress(OSError):  # renamed, or never there
            beside.unlink()


def beside_of(path: Path) -> Path:
    """Where this process writes a file before it takes its place: its name says which machine and process that is."""
    return path.with_name(f".{path.name}.{_MACHINE}-{os.getpid()}{PARTIAL}")


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; each name that is new survives a power cut."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_tree(folder: Path) -> None:
    """Bring all files below `folder`, which others than `write_bytes` wrote, to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def tidy(folder: Path, *, held: bool = False) -> None:
    """Take away what killed processes left half-written in `folder`, and finish the renames that they had decided.

    Parameters
    ----------
    held : bool
        The caller holds the folder (`locks.held`), so that what another machine's processes left there is left over
        too. What a process of this machine is writing stays in any case.
    """
    complete(folder)
    for path in folder.glob(f".*{PARTIAL}"):
        writer = _WRITER.fullmatch(path.name)
        if writer and (_is_dead(int(writer[2])) if writer[1] == _MACHINE else held):
            path.unlink(missing_ok=True)


def tidy_tree(folder: Path) -> None:
    """`tidy` a folder that the caller holds, and all below it."""
    for place, _, _ in os.walk(folder):
        tidy(Path(place), held=True)


def _is_dead(number: int) -> bool:
    """Whether no other process of this number is there."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return number == os.getpid()


def complete(folder: Path) -> None:
    """Finish the renames that a killed `AtomicWrites` had decided in `folder`; nothing where there are none.

    Readers of files that change together call this first. To do it twice, or at the same time as the one who decided
    them, changes nothing: every name that is being written is used once.

    Raises
    ------
    CcxrError
        The folder cannot be written to, so that the files in it are of two writings.
    """
    for decided in sorted(folder.glob(f".*{RENAMES}")):
        try:
            renames = dict(read_json(decided))
        except (FileNotFoundError, ValueError, TypeError):
            continue  # the one who decided them has just done them; or no `AtomicWrites` wrote this
        try:
            for beside, name in renames.items():
                if isinstance(beside, str) and beside.endswith(PARTIAL) and "\0" not in f"{beside}{name}":
                    with suppress(FileNotFoundError):  # done before
                        os.replace(folder / Path(beside).name, folder / Path(str(name)).name)
            sync_folder(folder)
            decided.unlink(missing_ok=True)
        except OSError as error:
            raise CcxrError(
                f"'{folder}' holds files of two writings, as the second was killed, and cannot be written to: "
                f"{error.strerror}; open it once with the right to write"
            ) from error


class AtomicWrites:
    """Files of one folder that change together: each is written beside its place, and all are renamed at the end.

    Used as a context; where anything fails inside it, nothing has changed. A kill changes nothing either until all
    files are on the disk and a list of the renames with them; from there on `complete` ends what was begun. For files
    too large to be held in memory.

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
        self._once = f"{_MACHINE}-{os.getpid()}-{secrets.token_hex(4)}"
        self._beside: dict[str, Path] = {}

    def __enter__(self) -> AtomicWrites:
        try:
            make_folder(self._folder)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        return self

    def place(self, name: str) -> Path:
        """Where to write the file `name` for now; files take their places in the order they were asked for."""
        return self._beside.setdefault(name, self._folder / f".{name}.{self._once}{PARTIAL}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if kind is None:
                self._rename()
        except OSError as fault:
            raise unwritable(self._folder, fault) from fault
        finally:
            for beside in self._beside.values():
                with suppress(OSError):
                    beside.unlink()
        if isinstance(error, OSError):
            raise unwritable(self._folder, error, then="nothing was changed there") from error

    def _rename(self) -> None:
        """Sync all files, decide, rename."""
        for beside in self._beside.values():
            with beside.open("rb") as file:
                os.fsync(file.fileno())
        if self._beside:
            renames = {beside.name: name for name, beside in self._beside.items()}
            write_bytes(self._folder / f".{self._once}{RENAMES}", json.dumps(renames).encode())
            complete(self._folder)


def read_json(path: Path) -> Any:
    """What a JSON file holds; `ValueError` where it is no JSON in UTF-8, or nested without end."""
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, whole or damaged."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # its end says that it has parts in other places
        return True


def is_plain_zip(path: Path) -> bool:
    """Whether a file is a zip archive whose members are together no larger: as torch writes it, and no bomb."""
    if not is_zip(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return sum(member.file_size for member in members) <= path.stat().st_size


def digest(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits; about a second a gigabyte."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
