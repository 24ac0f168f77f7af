"""Every image is decoded once, into a file of squares that is mapped into memory."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from contrastive_cxr import cores, terminal
from contrastive_cxr.data.cache_files import COLUMNS, Place, Record, Stamp, Store, folder_of, opened
from contrastive_cxr.data.decoding import intensity, ranges
from contrastive_cxr.data.decoding.decode import DecodeError, decode, fit_square
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import absolute, join, split
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.shards.store import ShardStore
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.spread import Spread

FACTS = (*COLUMNS.split(", "), "error")
NO_FACTS: tuple[object, ...] = ("", "", 0, 0, 0, "", 0.0, 0.0, 0, 0, 0, 0, 0)
COMMIT_SECONDS = 2.0
LISTED = 20
CALL = 64
"""Files that a worker decodes at once."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Cache:
    """The decoded images of a manifest.

    Attributes
    ----------
    images : uint8 [slots, 1, S, S], read-only
        All squares of the cache folder in the order they were made, mapped from disk: not the manifest's order.
    slots : int64 [N]
        Where a manifest row's square is in `images`; -1 where the file could not be read. Copies share a slot.
    facts : DataFrame [N]
        A row (and index) a manifest row: format, mode, width, height, bytes, digest, grey_low, grey_high (the stored
        values that became 0 and 255), squeezed (grey levels left, where too few are), pad_left, pad_top, pad_right,
        pad_bottom (pixels of padding in the square), error ('' or why the file could not be read).
    rows_decoded : int
        Images that this build decoded; the others were found.
    folder : Path
        Where the cache is.
    intensity : schema.Intensity
        The setting with the ranges that were found for it.
    """

    images: npt.NDArray[np.uint8] | ShardStore
    slots: npt.NDArray[np.int64]
    facts: pd.DataFrame
    rows_decoded: int
    folder: Path
    intensity: schema.Intensity

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Copy the squares of manifest rows [B] (positions) into memory: uint8 [B, 1, S, S].

        Raises
        ------
        ValueError
            Where a row has no image.
        """
        slots = self.slots[rows]
        if (slots < 0).any():
            missing = np.asarray(rows)[slots < 0][:LISTED].tolist()
            raise ValueError(f"rows {missing} have no image; leave out the rows with an error in facts")
        return Squares(self.images, slots)[slice(None)]


class _Todo(NamedTuple):
    """A file to decode, as it was seen, and the name of its source."""

    place: Place
    stamp: Stamp | None
    source: str


@dataclass(frozen=True)
class _Bad:
    """A file that cannot be read, and why."""

    place: Place
    reason: str


def build(
    manifest: Manifest, data: schema.Data, progress: Progress | None = None, spread: Spread | None = None
) -> Cache:
    """Find the images of `manifest` in the cache and decode those that are new or changed.

    A file is the same as long as its size and time of change are; a changed file costs one decode, other decode
    settings are another folder. What is decoded stays, also where the build is interrupted or refused. Memory does not
    grow with the pixels of the data set. Threads decode (Pillow lets them run side by side); processes that share a
    cache wait for each other.

    Parameters
    ----------
    manifest : Manifest
        `root`, `path` and `source` are read.
    data : schema.Data
        The decode settings, `cache_dir`, `on_bad_image` and `workers`.
    progress : callable, optional
        Called with (done, to do) after each image that is decoded; not at all where nothing is to do.
    spread : Spread, optional
        Who decodes; none: threads of this process. This process alone writes.

    Returns
    -------
    Cache

    Raises
    ------
    RequestError
        A setting or the cache folder is wrong, the disk is too small, or files are unreadable and `on_bad_image` is
        `refuse`.
    CcxrError
        The disk is full, or the cache is damaged.
    """
    intensity.check(data.intensity)
    data = ranges.found(data, manifest)
    places = _places(manifest)
    sources = dict(zip(places, manifest.column("source"), strict=True))
    folder = folder_of(data, sorted({root for root, _ in places}))
    with opened(folder, data.cache_size) as store:
        found = _found(store, set(places))
        stamps = {place: _stamp(place) for place in dict.fromkeys(places)}
        pending = [place for place, stamp in stamps.items() if place not in found or found[place][0] != stamp]
        _check_space(folder, len(pending) * data.cache_size**2)
        todo = [_Todo(place, stamps[place], sources[place]) for place in pending]
        with terminal.Stages("decoding images", 1, shown=bool(todo)):
            bad = _decode_all(store, todo, data, progress, spread)
        if pending:
            found = _found(store, set(places))
        images = store.images()
    reasons = {one.place: one.reason for one in bad}
    if reasons and data.on_bad_image == "refuse":
        raise RequestError(*_complaint(reasons))
    lines = [_line(place, found, reasons) for place in places]
    slots = np.array([slot for slot, _ in lines], dtype=np.int64)
    facts = pd.DataFrame([values for _, values in lines], columns=list(FACTS), index=manifest.rows.index)
    return Cache(images, slots, facts, len(pending) - len(reasons), folder, data.intensity)


def _places(manifest: Manifest) -> list[Place]:
    """Root and path of each row, the roots absolute: a cache serves every folder that commands are given in."""
    roots = {root: absolute(root) for root in manifest.rows["root"].unique()}
    return [(roots[root], path) for root, path in zip(manifest.rows["root"], manifest.rows["path"], strict=True)]


_Found = dict[Place, tuple[Stamp, int, tuple[object, ...]]]


def _found(store: Store, wanted: set[Place]) -> _Found:
    """Stamp, slot and facts of the wanted files that the store holds."""
    return {place: (stamp, slot, row) for place, stamp, slot, row in store.known() if place in wanted}


def _stamp(place: Place) -> Stamp | None:
    """Size and time of change of a file; None where there is none, which decoding then says."""
    try:
        return reading.stamp(split(join(*place))[0])
    except DecodeError:
        return None


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RequestError(
            f"data.cache_dir: the cache needs {needed / 1e9:.2f} GB more and {folder} has {free / 1e9:.2f} GB free; "
            "free space, name another folder, or lower data.cache_size"
        )


def _decode_all(
    store: Store, pending: list[_Todo], data: schema.Data, progress: Progress | None, spread: Spread | None
) -> list[_Bad]:
    """Decode side by side, write in order, keep what is done whatever happens; the files that could not be read."""
    bad: list[_Bad] = []
    committed = time.monotonic()
    with closing(_results(pending, data) if spread is None else _spread(pending, data, spread)) as results:
        try:
            for done, result in enumerate(results, start=1):
                if isinstance(result, _Bad):
                    bad.append(result)
                else:
                    store.add(result)
                if time.monotonic() - committed > COMMIT_SECONDS:
                    store.commit()
                    committed = time.monotonic()
                terminal.share(done, len(pending))
                if progress is not None:
                    progress(done, len(pending))
        finally:
            store.commit()
    return bad


def _results(pending: Sequence[_Todo], data: schema.Data) -> Generator[Record | _Bad]:
    """Decoded files in the order of `pending`, with a few at a time under way."""
    workers = data.workers or cores.available()
    waiting: deque[Future[Record | _Bad]] = deque()
    todo = iter(pending)
    with ThreadPoolExecutor(min(workers, max(1, len(pending)))) as pool:
        try:
            for one in islice(todo, 4 * workers):
                waiting.append(pool.submit(_one, one, data))
            while waiting:
                yield waiting.popleft().result()
                for one in islice(todo, 1):
                    waiting.append(pool.submit(_one, one, data))
        finally:
            pool.shutdown(cancel_futures=True)


def _spread(pending: Sequence[_Todo], data: schema.Data, spread: Spread) -> Generator[Record | _Bad]:
    """Files that workers decode, some of them a call, in the order of `pending`."""
    calls = ((pending[start : start + CALL], data) for start in range(0, len(pending), CALL))
    for found in spread.results(_some, calls):
        yield from found


def _some(todo: Sequence[_Todo], data: schema.Data) -> list[Record | _Bad]:
    """Decode some files."""
    return [_one(each, data) for each in todo]


def _one(todo: _Todo, data: schema.Data) -> Record | _Bad:
    """Decode one file to its square, or say why not."""
    try:
        grey, facts = decode(join(*todo.place), data, todo.source, side=data.cache_size)
    except DecodeError as error:
        return _Bad(todo.place, error.reason)
    square, box = fit_square(grey, data.cache_size, data.resize)
    # A file that changed since its stamp was taken does not match it at the next build, and is decoded again.
    return Record(todo.place, todo.stamp or (-1, -1), facts, box, square)


def _line(place: Place, found: _Found, reasons: dict[Place, str]) -> tuple[int, tuple[object, ...]]:
    """Slot and facts of a row."""
    if place in reasons:
        return -1, (*NO_FACTS, reasons[place])
    _, slot, row = found[place]
    return slot, (*row, "")


def _complaint(reasons: dict[Place, str]) -> list[str]:
    """One sentence a bad file, the first of them, and what to do."""
    listed = [f"{join(*place)}: {reason}" for place, reason in islice(reasons.items(), LISTED)]
    more = [f"and {len(reasons) - LISTED} more"] if len(reasons) > LISTED else []
    head = (
        f"{len(reasons)} image(s) cannot be read; repair or remove them, or leave them out with data.on_bad_image=skip"
    )
    return [head, *listed, *more]
