"""ZIP and tar archives as folders: their members are listed and read, nothing is unpacked to disk."""

from __future__ import annotations

import gzip
import io
import os
import posixpath
import re
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files.kinds import HEAD, kind_of

LARGEST_MEMBER = 2**30
"""Bytes of the largest member that is read, as of the largest file."""
LARGEST_GZIP = 2**30
"""Bytes that a compressed tar archive unpacks to: it can be read from its start alone, so it is held in memory."""
GROWTH = 100
"""Times its own size that an archive may unpack to, above one member's limit: images hardly shrink when zipped."""
_ENCRYPTED = 1
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


class Member(NamedTuple):
    """A file in an archive: its size in bytes, and what the archive's own library calls it."""

    size: int
    entry: Any


class Archive:
    """An open archive, which several threads may read from.

    Parameters
    ----------
    file : binary file
        Open for reading at any place; held for as long as the archive is used.
    size : int
        Bytes of the whole file.

    Raises
    ------
    DecodeError
        No archive that is read, damaged, encrypted, with members outside of it, or one that unpacks to far more.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._lock = threading.Lock()  # a tar archive has one place where it is read
        self._zip: zipfile.ZipFile | None = None
        self._tar: tarfile.TarFile | None = None
        kind = kind_of(file.read(HEAD))
        file.seek(0)
        try:
            if kind == "zip":
                self._zip = zipfile.ZipFile(file)
            elif kind in ("tar", "tar.gz"):
                plain = file if kind == "tar" else io.BytesIO(_gunzipped(file))
                self._tar = tarfile.open(fileobj=plain, mode="r:")  # noqa: SIM115
            else:
                raise DecodeError("is no ZIP or tar archive")
            self.members = dict(self._listed())
        except _DAMAGED as error:
            raise DecodeError("is a damaged archive, or one in a form that is not read; pack it again") from error
        if sum(each.size for each in self.members.values()) > max(GROWTH * size, LARGEST_MEMBER):
            raise DecodeError(
                f"is an archive of {size} bytes that unpacks to more than {GROWTH} times as much; unpack it yourself "
                "if you trust it, and give the folder"
            )

    def _listed(self) -> Iterator[tuple[str, Member]]:
        """The files of the archive by their path in it."""
        if self._zip is not None:
            for info in self._zip.infolist():
                if info.is_dir():
                    continue
                if info.flag_bits & _ENCRYPTED:
                    raise DecodeError("is an encrypted archive; unpack it with its password, and give the folder")
                yield _inside(info.filename), Member(info.file_size, info)
        elif self._tar is not None:
            for each in self._tar:
                if each.isfile():
                    yield _inside(each.name), Member(each.size, each)

    def read(self, name: str, most: int | None = None) -> bytes:
        """The content of a member, or its first `most` bytes.

        Raises
        ------
        DecodeError
            No such member, too large, or damaged.
        """
        member = self.members.get(name)
        if member is None:
            raise DecodeError("does not exist in its archive")
        if member.size > LARGEST_MEMBER:
            raise DecodeError(f"has {member.size} bytes; at most {LARGEST_MEMBER} are read")
        wanted = member.size if most is None else min(most, member.size)
        try:
            if self._zip is not None:
                with self._zip.open(member.entry) as file:
                    content = file.read(wanted)
            else:
                assert self._tar is not None, "an archive is one or the other"
                with self._lock:
                    file_in_tar = self._tar.extractfile(member.entry)
                    content = b"" if file_in_tar is None else file_in_tar.read(wanted)
        except _DAMAGED as error:
            raise DecodeError("is damaged in its archive; pack the archive again") from error
        if len(content) != wanted:
            raise DecodeError("is cut short in its archive; pack the archive again")
        return content


def _inside(name: str) -> str:
    """A member's path in its archive, with `/`; an error where it leads out of it."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if path.startswith(("/", "../")) or path == ".." or re.match(r"[A-Za-z]:", path):
        raise DecodeError(
            f"is an archive with a member outside of it ({name!r}); it is not opened: unpack it with care, and give "
            "the folder"
        )
    return path


def _gunzipped(file: IO[bytes]) -> bytes:
    """A compressed tar archive in memory."""
    with gzip.GzipFile(fileobj=file) as unpacked:
        content = unpacked.read(LARGEST_GZIP + 1)
    if len(content) > LARGEST_GZIP:
        raise DecodeError(
            f"is a compressed tar archive of more than {LARGEST_GZIP} bytes, which can only be read from its start; "
            "make a plain one with gunzip (.tar), or a ZIP archive"
        )
    return content


def is_archive(path: str) -> bool:
    """Whether a file of this disk is an archive, by its content."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return kind_of(file.read(HEAD)) in ("zip", "tar", "tar.gz")
