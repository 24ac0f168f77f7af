"""One process at a time: locks that the system gives back when their holder dies, with the holder's name in them.

`flock` does the locking. On the network file systems that know it (NFS, Lustre mounted with `flock`, GPFS, CephFS) it
reaches other machines. Where a file system has no locks at all, the name in the file is the lock: a process of this
machine that is no longer there is passed over, one of another machine is asked about.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import make_folder
from contrastive_cxr.space import is_full

logger = logging.getLogger(__name__)
NAME = "in-use.lock"
"""The lock file of a folder."""
POLL_SECONDS = 0.2
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_held: set[Path] = set()
"""What this process holds."""


@contextmanager
def held(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock file; within one process it may be taken again.

    Parameters
    ----------
    path : Path
        The lock file; its folder is made where it is missing, and the file is taken away at the end.
    what : str
        What it stands for, in words, such as "the run 'runs/a'".
    wait : bool
        Wait for another holder, saying for whom, instead of refusing.

    Raises
    ------
    RequestError
        Another process holds it: its machine, number, command and since when; or the file cannot be made.
    """
    path = Path(os.path.abspath(path))
    if path in _held:
        yield
        return
    new = not path.parent.exists()
    handle = _taken(path, what, wait)
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        _give_back(path, handle)
        if new:
            with suppress(OSError):  # something was written
                path.parent.rmdir()


def refuse_held(path: Path, what: str) -> None:
    """Refuse what another process holds; a lock file that a dead process left is taken away.

    Raises
    ------
    RequestError
        Its holder.
    """
    if Path(os.path.abspath(path)) in _held:
        return
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return  # nobody ever held it, or it cannot be written to: the attempt to hold it will say so
    try:
        if not _try(handle):
            raise RequestError(_in_use(what, _holder(handle)))
    except RequestError:
        os.close(handle)
        raise
    _give_back(path, handle)


def _taken(path: Path, what: str, wait: bool) -> int:
    """An open file that holds the lock, with our name in it."""
    told = False
    while True:
        handle = _open(path, what)
        if _try(handle):
            if _is_still(path, handle):
                _note(path, handle)
                return handle
        else:
            if not wait:
                holder = _holder(handle)
                os.close(handle)
                raise RequestError(_in_use(what, holder))
            if not told:
                logger.warning("waiting for %s, which is in use by %s", what, _words(_holder(handle)))
            told = True
            time.sleep(POLL_SECONDS)
        os.close(handle)


def _open(path: Path, what: str) -> int:
    try:
        make_folder(path.parent)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RequestError(f"{what}: '{path.parent}' cannot be written to ({error.strerror}); name another") from error


def _try(handle: int) -> bool:
    """Lock an open file, if nobody else has; where the file system knows no locks, ask the name in it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        holder = _holder(handle)
        return not holder or (holder.get("host") == socket.gethostname() and not _lives(holder))
    return True


def _is_still(path: Path, handle: int) -> bool:
    """Whether the file that we locked is the one of that name: its former holder may have taken it away meanwhile."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _note(path: Path, handle: int) -> None:
    """Write our name; say so where the former holder died without giving the lock back on another machine."""
    former = _holder(handle)
    if former and former.get("host") != socket.gethostname():
        logger.warning("'%s' was left by %s; it is taken over, its lock is free", path, _words(former))
    number = os.getpid()
    name = {
        "host": socket.gethostname(),
        "pid": number,
        "started": _started(number),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
    }
    os.ftruncate(handle, 0)
    try:
        os.pwrite(handle, json.dumps(name, ensure_ascii=False).encode(errors="replace"), 0)
    except OSError as error:
        # the lock holds without a name; what is to be written under it says that the disk is full
        if not is_full(error):
            raise


def _give_back(path: Path, handle: int) -> None:
    """Take the file away while we hold it, so that nobody can hold one that is gone; then let go."""
    try:
        if _is_still(path, handle):
            os.unlink(path)
    finally:
        os.close(handle)


def _holder(handle: int) -> dict[str, object]:
    """The name in a lock file; empty where there is none."""
    try:
        name = json.loads(os.pread(handle, 1 << 16, 0))
    except ValueError:
        return {}
    return name if isinstance(name, dict) else {}


def _lives(holder: dict[str, object]) -> bool:
    """Whether a process of this machine is there, and not another one that got its number."""
    number = holder.get("pid")
    if not isinstance(number, int):
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return holder.get("started") in (None, _started(number))


def _started(number: int) -> str | None:
    """When a process began, in ticks since the machine did; None where the system does not say."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _words(holder: dict[str, object]) -> str:
    """A holder in words."""
    if not holder:
        return "another process, which has not said its name"
    return f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')} ({holder.get('command')})"


def _in_use(what: str, holder: dict[str, object]) -> str:
    """The refusal."""
    there = holder.get("host") in (None, socket.gethostname())
    instead = "" if there else f"; if that process is no longer there, remove the file {NAME}"
    return f"{what} is in use by {_words(holder)}; wait until it ends, stop it, or name another folder{instead}"
