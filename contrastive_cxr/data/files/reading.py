"""The content of an image's file, wherever it is: on this disk, in an archive, behind a URL."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from functools import lru_cache
from pathlib import Path

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import remote
from contrastive_cxr.data.files.addresses import is_url
from contrastive_cxr.data.files.archives import Archive, is_archive

LARGEST_FILE = 2**30
"""Bytes of the largest file that is read; a picture of 8192 x 8192 pixels in colour and 16 bits has 400 MB."""

Stamp = tuple[int, int]
"""Size in bytes and time of change in ns (of a URL a number of its version): what says that a file is the same."""

# Behind a URL an archive is known by its name: looking into each part of a path would ask the server each time.
_URL_ARCHIVE = re.compile(r"(.*?\.(?:zip|tar|tar\.gz|tgz))(?:/(.*))?$", re.IGNORECASE)
_lock = threading.Lock()


def content(file: str, most: int | None = None) -> bytes:
    """All bytes of a file, or its first `most`.

    Raises
    ------
    DecodeError
        It is not there, is no plain file, is too large, or cannot be reached.
    """
    if not is_url(file) and os.path.exists(file):  # nearly every file: one look at the disk
        return _local(file, most)
    archive, member = in_archive(file)
    if archive:
        return _archive(archive, stamp(archive)).read(member, most)
    return _remote(file, most) if is_url(file) else _local(file, most)


@lru_cache(maxsize=2)
def _held(file: str, when: Stamp) -> tuple[bytes, str]:
    whole = content(file)
    return whole, hashlib.sha256(whole).hexdigest()


def held(file: str) -> tuple[bytes, str]:
    """Content and SHA-256 of a file with several pictures, kept while its pictures are read one after the other."""
    with _lock:  # several threads want the same file at the same time
        return _held(file, stamp(file))


def stamp(file: str) -> Stamp:
    """Size and time of change of a file, of a member of an archive with the archive's time; errors as `content`."""
    gone = ""
    if not is_url(file):
        try:
            seen = os.stat(file)
            return seen.st_size, seen.st_mtime_ns
        except (OSError, ValueError) as error:
            gone = _unreachable(error)
    archive, member = in_archive(file)
    if archive:
        when = stamp(archive)
        found = _archive(archive, when).members.get(member)
        if found is None:
            raise DecodeError("does not exist in its archive")
        return found.size, when[1]
    if gone:
        raise DecodeError(gone)
    return remote.entry(file)


def is_file_behind(url: str) -> bool:
    """Whether a URL is a file, else something that holds files; `DecodeError` where it cannot be reached."""
    return bool(in_archive(url)[0]) or remote.is_file(url)


def in_archive(file: str) -> tuple[str, str]:
    """The archive that a file is in and its path there; two empty texts where it is in none, or is one itself."""
    if is_url(file):
        found = _URL_ARCHIVE.match(file)
        return (found[1], found[2]) if found and found[2] else ("", "")
    outer = file
    while (parent := os.path.dirname(outer)) != outer:
        outer = parent
        if os.path.isfile(outer):
            return (outer, file[len(outer) + 1 :]) if is_archive(outer) else ("", "")
        if os.path.isdir(outer):
            break
    return "", ""


def is_archive_place(place: str) -> bool:
    """Whether a place is an archive itself: by content on this disk, by name behind a URL."""
    if is_url(place):
        found = _URL_ARCHIVE.match(place)
        return found is not None and not found[2]
    return is_archive(place)


def members(archive: str) -> dict[str, int]:
    """Paths and sizes of the files in an archive; `DecodeError` where it is not to be opened."""
    return {name: each.size for name, each in _archive(archive, stamp(archive)).members.items()}


@lru_cache(maxsize=8)
def _opened(archive: str, when: Stamp) -> Archive:
    if is_url(archive):
        return Archive(*remote.opened(archive))
    return Archive(open(archive, "rb"), when[0])


def _archive(archive: str, when: Stamp) -> Archive:
    with _lock_archives:
        return _opened(archive, when)


_lock_archives = threading.Lock()


def _remote(url: str, most: int | None) -> bytes:
    if most is None and remote.entry(url)[0] > LARGEST_FILE:
        raise DecodeError(f"has {remote.entry(url)[0]} bytes; at most {LARGEST_FILE} are read")
    return remote.content(url, most)


def _local(path: str | Path, most: int | None) -> bytes:
    """Bytes of a plain file; a pipe or a device, which might never end, is not waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise DecodeError(_unreachable(error)) from error
    try:
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode):
            raise DecodeError("cannot be opened (it is a folder, pipe or device, not a file)")
        if most is None and seen.st_size > LARGEST_FILE:
            raise DecodeError(f"has {seen.st_size} bytes; at most {LARGEST_FILE} are read")
        with open(handle, "rb", closefd=False) as file:
            return file.read(seen.st_size + 1 if most is None else most)
    except OSError as error:
        raise DecodeError(f"cannot be read ({error.strerror})") from error
    finally:
        os.close(handle)


def _unreachable(error: Exception) -> str:
    """Why a file of this disk cannot be opened."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist"
    if isinstance(error, ValueError):  # of Python itself, before the system is asked
        return "cannot be opened (its name holds a NUL byte)"
    return f"cannot be opened ({getattr(error, 'strerror', None) or 'the system gives no reason'})"
