"""Files behind URLs that fsspec knows (https, s3, gs, memory, ...); fsspec is imported only where there is one."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import IO, Any

from contrastive_cxr.data.decoding.intensity import DecodeError

Entry = tuple[int, int]
"""Bytes of a file, and a number that changes with its content as far as the server tells."""


def listed(url: str) -> dict[str, Entry]:
    """All files below a URL by their path there, as the server lists them.

    Raises
    ------
    DecodeError
        What is missing: a package, the network, a permission, or the folder itself.
    """
    system, root = _system(url)
    try:
        system.ls(root, detail=False)  # `find` gives nothing, and says nothing, where there is no network
        found = system.find(root, detail=True)
    except Exception as error:  # each server's own library has errors of its own
        raise DecodeError(_why(url, error)) from error
    start = root.rstrip("/") + "/"
    return {
        name.removeprefix(start).lstrip("/"): _entry(facts) for name, facts in found.items() if facts["type"] == "file"
    }


def held(url: str) -> dict[str, bool]:
    """The names in a folder behind a URL, and whether each is a folder; errors as `listed`."""
    system, path = _system(url)
    try:
        found = system.ls(path, detail=True)
    except Exception as error:  # fsspec's file systems raise anything
        raise DecodeError(_why(url, error)) from error
    return {each["name"].rstrip("/").rpartition("/")[2]: each["type"] == "directory" for each in found}


@lru_cache(maxsize=2**17)
def entry(url: str) -> Entry:
    """Size and version of one file; asked once in a process."""
    system, path = _system(url)
    try:
        facts = system.info(path)
    except Exception as error:  # fsspec's file systems raise anything
        raise DecodeError(_why(url, error)) from error
    if facts["type"] != "file":
        raise DecodeError("is a folder; a row names an image file")
    return _entry(facts)


def is_file(url: str) -> bool:
    """Whether a URL is a file; of a web page that lists others no, since its address ends with a slash."""
    if url.endswith("/"):
        return False
    system, path = _system(url)
    try:
        return str(system.info(path)["type"]) == "file"
    except FileNotFoundError:
        return False
    except Exception as error:  # fsspec's file systems raise anything
        raise DecodeError(_why(url, error)) from error


def content(url: str, most: int | None = None) -> bytes:
    """A file's content, or its first `most` bytes."""
    system, path = _system(url)
    try:
        found = system.cat_file(path) if most is None else system.cat_file(path, start=0, end=most)
    except Exception as error:  # fsspec's file systems raise anything
        raise DecodeError(_why(url, error)) from error
    return bytes(found if most is None else found[:most])


def opened(url: str) -> tuple[IO[bytes], int]:
    """A file open at any place, read in blocks, and its size."""
    system, path = _system(url)
    try:
        return system.open(path, "rb"), entry(url)[0]
    except DecodeError:
        raise
    except Exception as error:  # fsspec's file systems raise anything
        raise DecodeError(_why(url, error)) from error


def _system(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path there."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(url)
    except Exception as error:  # fsspec's file systems raise anything
        raise DecodeError(_why(url, error)) from error
    return system, str(path)


def _entry(facts: dict[str, Any]) -> Entry:
    """Size and version of what a server says of a file."""
    marks = [
        str(facts[name]) for name in ("ETag", "etag", "mtime", "LastModified", "updated", "created") if name in facts
    ]
    version = int.from_bytes(hashlib.sha256("\n".join(marks).encode()).digest()[:7], "little") if marks else 0
    return int(facts.get("size") or 0), version


def _why(url: str, error: Exception) -> str:
    """Why a URL gives nothing, in our words; the libraries' own are of their insides."""
    way = url.partition("://")[0]
    if isinstance(error, ImportError):
        return f"needs the package that reads {way}:// URLs, which fsspec names: pip install 'fsspec[{way}]'"
    if isinstance(error, FileNotFoundError):
        return "is not there; correct the URL"
    if isinstance(error, PermissionError):
        return "may not be read; give the credentials as its server wants them (environment variables, a profile)"
    if isinstance(error, ValueError) and "rotocol" in str(error):
        return f"begins with {way}://, which fsspec does not know; write https://, s3://, gs:// or another it knows"
    return "cannot be reached; check the address and the network, or copy the images to a folder of this disk"
