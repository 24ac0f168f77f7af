"""A cache folder: squares in one raw file, and a table of what they are."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from contrastive_cxr import locks
from contrastive_cxr.data.decoding import decode
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.files import make_folder
from contrastive_cxr.recipe import schema
from contrastive_cxr.space import free, is_full, size_words

Bytes = npt.NDArray[np.uint8]

# A square belongs to a content, so copies of an image share one; a file belongs to a content as long as its size and
# time of change are the ones seen. Contents that no file has any more keep their square: a reader may have it mapped.
TABLES = """
CREATE TABLE IF NOT EXISTS contents (
    digest TEXT PRIMARY KEY, slot INTEGER UNIQUE, format TEXT, mode TEXT, width INTEGER, height INTEGER, bytes INTEGER,
    grey_low REAL, grey_high REAL, squeezed INTEGER, pad_left INTEGER, pad_top INTEGER, pad_right INTEGER,
    pad_bottom INTEGER);
CREATE TABLE IF NOT EXISTS files (
    root TEXT, path TEXT, size INTEGER, mtime_ns INTEGER, digest TEXT, PRIMARY KEY (root, path));
"""
COLUMNS = (
    "format, mode, width, height, bytes, digest, grey_low, grey_high, squeezed, "
    "pad_left, pad_top, pad_right, pad_bottom"
)
# Put together from words of this file alone, so bandit is told to pass over them.
KNOWN = f"SELECT root, path, size, mtime_ns, slot, {COLUMNS} FROM files JOIN contents USING (digest)"  # nosec
ADD = f"INSERT INTO contents (slot, {COLUMNS}) VALUES ({', '.join('?' * 14)})"  # nosec

Place = tuple[str, str]
"""A file: its root, and its path below it."""

Stamp = tuple[int, int]
"""Size in bytes and time of change in ns: what says, without opening it, that a file is the one that was decoded."""


@dataclass(frozen=True)
class Record:
    """A decoded file: its facts, its padding, and its square uint8 [S, S]."""

    place: Place
    stamp: Stamp
    facts: decode.Facts
    box: decode.Box
    square: Bytes

    @property
    def row(self) -> tuple[object, ...]:
        """The values of `COLUMNS`."""
        return astuple(self.facts) + tuple(self.box)


def cache_folder(cache_dir: Path | None) -> Path:
    """`data.cache_dir`, or the user's own cache folder."""
    if cache_dir is not None:
        return cache_dir.expanduser().resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contrastive_cxr"


def folder_of(data: schema.Data, roots: Sequence[str]) -> Path:
    """The folder of the caches of `data`'s settings over `roots`: another setting, another folder."""
    text = json.dumps(_key(data, roots), sort_keys=True)
    return cache_folder(data.cache_dir) / hashlib.sha256(text.encode()).hexdigest()[:20]


def _key(data: schema.Data, roots: Sequence[str]) -> dict[str, object]:
    """Everything that the pixels depend on, besides the files."""
    intensity = data.intensity
    kind = intensity.kind
    ends: list[object] = [intensity.low, intensity.high] if kind in ("percentile", "window") else []
    if kind == "auto":
        ends = [intensity.ct_window, sorted((intensity.ranges or {}).items())]
    return {
        "version": [decode.VERSION, data.decoding],
        "size": data.cache_size,
        "resize": data.resize,
        "intensity": [kind, *ends],
        "border_crop": data.border_crop,
        "denoise": data.denoise,
        "equalise": data.equalise,
        "roots": sorted(roots),
    }


def mapped(file: str, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The squares of a cache's file, uint8 [M, 1, S, S] as `shape` says, in a worker that may be on another machine.

    Raises
    ------
    RequestError
        The worker cannot read the file.
    """
    try:
        return np.memmap(file, np.uint8, "r", shape=shape)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"a worker cannot read the cache {file} ({error}); data.cache_dir must be on a disk that all machines see"
        ) from error


def refusal(folder: Path, error: OSError | sqlite3.Error) -> CcxrError:
    """The error to raise where the cache cannot be written; of a full disk it says so and how full it is."""
    at_limit = isinstance(error, OSError) and is_full(error)
    full = at_limit or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return CcxrError(
        f"the image cache {folder} cannot be written: {'the disk is full' if full else error} "
        f"({size_words(free(folder))} free); make room or set data.cache_dir, and start again: what is decoded is kept"
    )


class Store:
    """The open cache folder; one process at a time holds it (see `opened`)."""

    def __init__(self, folder: Path, size: int, table: sqlite3.Connection, pixels: int) -> None:
        self.folder = folder
        self.size = size
        self._table = table
        self._pixels = pixels
        table.executescript(TABLES)
        held = os.fstat(pixels).st_size // self._stride
        # Squares that are no longer in the file (it was cut, or copied in part) are made again.
        table.execute("DELETE FROM contents WHERE slot >= ?", (held,))
        table.commit()
        self._next: int = table.execute("SELECT coalesce(max(slot) + 1, 0) FROM contents").fetchone()[0]

    @property
    def _stride(self) -> int:
        return self.size * self.size

    def known(self) -> Iterator[tuple[Place, Stamp, int, tuple[object, ...]]]:
        """Each file with a square: place, stamp, slot, and the values of `COLUMNS`."""
        for root, path, size, mtime, slot, *row in self._table.execute(KNOWN):
            yield (root, path), (size, mtime), slot, tuple(row)

    def add(self, record: Record) -> None:
        """Write a square where its content is new; nothing counts before `commit`."""
        digest = record.facts.digest
        with self._writing():
            if not self._table.execute("SELECT 1 FROM contents WHERE digest = ?", (digest,)).fetchone():
                pixels = record.square.tobytes()
                if os.pwrite(self._pixels, pixels, self._next * self._stride) != len(pixels):
                    raise OSError(errno.ENOSPC, "a square was written in part")
                self._table.execute(ADD, (self._next, *record.row))
                self._next += 1
            values = (*record.place, *record.stamp, digest)
            self._table.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", values)

    def commit(self) -> None:
        """Make all that was added last: pixels to the disk first, then the rows that speak of them."""
        with self._writing():
            os.fsync(self._pixels)
            self._table.commit()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say what stopped the writing, and that what was committed is kept."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            raise refusal(self.folder, error) from error

    def images(self) -> Bytes:
        """All squares, uint8 [slots, 1, S, S], mapped for reading."""
        if not self._next:
            return np.empty((0, 1, self.size, self.size), np.uint8)
        shape = (self._next, 1, self.size, self.size)
        return np.memmap(self.folder / "images.u8", dtype=np.uint8, mode="r", shape=shape)


@contextmanager
def opened(folder: Path, size: int) -> Iterator[Store]:
    """Open or make a cache folder and hold it; a second process says for whom it waits, until the first is done.

    Raises
    ------
    RequestError
        Where the folder cannot be made or written.
    CcxrError
        Where its table is damaged, or the disk is full.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise RequestError(
            f"data.cache_dir: {folder} cannot be written ({error.strerror}); name a folder that can"
        ) from error
    try:
        with (
            locks.held(folder / locks.NAME, f"the image cache {folder} (data.cache_dir)", wait=True),
            closing(sqlite3.connect(folder / "index.sqlite")) as table,
        ):
            try:
                pixels = os.open(folder / "images.u8", os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise refusal(folder, error) from error
            try:
                yield Store(folder, size, table, pixels)
            finally:
                os.close(pixels)
    except sqlite3.OperationalError as error:
        raise refusal(folder, error) from error
    except sqlite3.DatabaseError as error:
        raise CcxrError(f"the image cache {folder} failed ({error}); delete the folder, it is made again") from error
