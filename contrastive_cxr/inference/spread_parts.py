"""The parts of an encoding, filled by the workers of a cluster and written by this process.

A part is written when its last batch has come, so a kill costs what is under way. One process writes: 10,000 images a
second with 512 dimensions are 20 MB a second.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import locks, terminal
from contrastive_cxr.distributed import Cluster
from contrastive_cxr.inference import shards
from contrastive_cxr.inference.image_sources import Pictures
from contrastive_cxr.retrieval import spread_model
from contrastive_cxr.retrieval.spread_model import Done, Encoder, Job, Predictor
from contrastive_cxr.run import parquet

log = logging.getLogger(__name__)
WAVE = 1_000_000
"""Images whose names are handed to the cluster at once, some 100 MB; actors are made anew for each wave."""
WORKING = ".parts"
"""End of the name of a folder of parts that becomes another file, and then goes."""
Vectors = NDArray[np.float32]


def fill(
    cluster: Cluster, out: Path, record: shards.Record, pictures: Pictures, what: type[Encoder] | type[Predictor],
    sent: Any, device: str, batch_size: int,
) -> dict[str, int]:  # fmt: skip
    """Write the parts that are not there yet.

    Batches begin where those of one process begin, so the same images pass through the network together.

    Parameters
    ----------
    out, record : Path, Record
        A folder after `shards.begin`; `shards.finish` is called when this returns.
    what, sent, device : as for `spread_model.finished`
    batch_size : int
        Images a job.

    Returns
    -------
    {file: grey levels}
        Files that keep too few, of those that were read now.

    Raises
    ------
    RequestError
        Unreadable images, or another process fills the folder.
    CcxrError
        Ray gave up, or the disk is full; the parts that are written stay.
    """
    squeezed: dict[str, int] = {}
    with locks.held(out / locks.NAME, f"the encoding '{out}'"):
        parts = shards.parts_of(record)
        todo = [part for part in parts if not (out / part.file).is_file()]
        if len(todo) < len(parts):
            log.warning("%s: %d of %d parts are there; going on", out, len(parts) - len(todo), len(parts))
        done = record.images - sum(part.images for part in todo)
        for wave in _waves(todo):
            jobs = [job for part in wave for job in _jobs(part, pictures, batch_size)]
            open_parts = _Open(out, record, wave, pictures)
            for batch in spread_model.finished(cluster, jobs, what, sent, device):
                open_parts.take(batch)
                squeezed |= batch.squeezed
                done += 0 if batch.values is None else len(batch.values)
                terminal.share(done, record.images)
    return squeezed


def some(out: Path, record: shards.Record, first: int, end: int) -> Vectors:
    """The vectors of images `first` to `end - 1`, float32 [end - first, D]; the parts that hold them are read."""
    found = np.empty((end - first, record.dimensions), np.float32)
    for part in shards.parts_of(record):
        start, stop = max(first, part.first), min(end, part.first + part.images)
        if start < stop:
            read = parquet.read_vectors(out / part.file)
            found[start - first : stop - first] = read[start - part.first : stop - part.first]
    return found


def working(out: Path) -> Path:
    """The folder beside `out` that holds the parts until `out` is made of them."""
    return out.with_name(out.name + WORKING)


def begin_working(place: Path, record: shards.Record) -> None:
    """Take up the folder of an earlier call for the same images and model, else begin it anew."""
    known = shards.read(place)
    own = {"version", "complete", "parts"}
    same = known is not None and known.model_dump(exclude=own) == record.model_dump(exclude=own)
    if not same:
        shards.begin(place, record, overwrite=known is not None)


def drop_working(place: Path) -> None:
    """Remove such a folder; files that are none of ours stay, and so does the folder then."""
    shards.remove(place)
    for folder in (place / "parts", place):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


class _Open:
    """Parts of which some batches have come."""

    def __init__(self, out: Path, record: shards.Record, parts: Sequence[shards.Part], pictures: Pictures) -> None:
        self._out, self._record, self._pictures = out, record, pictures
        self._parts = {part.first // record.part_images: part for part in parts}
        self._held: dict[int, Vectors] = {}
        self._left: dict[int, set[int]] = {}

    def take(self, batch: Done) -> None:
        """Put a batch into its part, and write the part with the last one."""
        assert batch.values is not None, "faults were raised"
        number = batch.number // self._record.part_images
        part, values = self._parts[number], batch.values
        held = self._held.setdefault(number, np.empty((part.images, self._record.dimensions), np.float32))
        left = self._left.setdefault(number, set(range(part.images)))
        start = batch.number - part.first
        held[start : start + len(values)] = values
        left.difference_update(range(start, start + len(values)))
        if not left:
            rows = self._pictures.rows(part.first, part.first + part.images)
            parquet.write(self._out / part.file, rows, held)
            del self._held[number], self._left[number]


def _jobs(part: shards.Part, pictures: Pictures, batch_size: int) -> Iterator[Job]:
    end = part.first + part.images
    for first in range(part.first, end, batch_size):
        yield Job(first, pictures.piece(first, min(first + batch_size, end)))


def _waves(parts: Sequence[shards.Part]) -> Iterator[list[shards.Part]]:
    """The parts in order, some `WAVE` images at a time."""
    wave: list[shards.Part] = []
    for part in parts:
        wave.append(part)
        if sum(each.images for each in wave) >= WAVE:
            yield wave
            wave = []
    if wave:
        yield wave
