"""The squares of a folder of shards by their number, as an array or a memory map gives them."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.files.addresses import is_url, join
from contrastive_cxr.data.shards import parquet_files
from contrastive_cxr.data.shards.description import Description
from contrastive_cxr.errors import CcxrError

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
logger = logging.getLogger(__name__)
WAITS = (1.0, 5.0)
HELD = 8
"""Row groups that `ShardStore` keeps for reads by number: 64 squares of 256 x 256 pixels each are 4 MiB."""


class ShardStore:
    """Squares by slot: 0 is the first square of the first shard, counted through all shards.

    Reads by number are meant for slots that stand together: each of them reads a whole row group, of which the last few
    are kept. The batches of an epoch are read by `stream.Stream`.

    Parameters
    ----------
    place : str
        Folder or URL.
    description : Description
    buffer : int
        Squares of the shuffle buffer.
    slices : int
        Parts of a batch that read shards of their own.
    totals, squares : int64 [M]
        Of each slot the sum of its pixels, and of their squares.
    """

    def __init__(
        self, place: str, description: Description, buffer: int, slices: int, totals: Ints, squares: Ints
    ) -> None:
        self.place, self.description = place, description
        self.buffer, self.slices = buffer, slices
        self.group_size = description.group
        counts = np.array([shard.images for shard in description.shards], dtype=np.int64)
        self._firsts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        groups = -(-counts // description.group)
        self._first_groups = np.concatenate([[0], np.cumsum(groups)]).astype(np.int64)
        self._sums = totals, squares
        self._footers: dict[int, Any] = {}
        self._kept: OrderedDict[int, Bytes] = OrderedDict()
        self._lock = threading.Lock()
        self.groups_read = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """M, 1, S, S."""
        return int(self._firsts[-1]), 1, self.description.size, self.description.size

    def __len__(self) -> int:
        return self.shape[0]

    def shard_of(self, slots: Ints) -> Ints:
        """The number of each slot's shard, int64."""
        return np.searchsorted(self._firsts, slots, side="right").astype(np.int64) - 1

    def group_of(self, slots: Ints) -> tuple[Ints, Ints]:
        """The number of each slot's row group, counted through all shards, and the place within it; int64 each."""
        shard = self.shard_of(slots)
        inside = slots - self._firsts[shard]
        return self._first_groups[shard] + inside // self.group_size, inside % self.group_size

    def read(self, group: int) -> Bytes:
        """All squares of a row group, uint8 [n, 1, S, S]; may be called by several threads.

        Behind a URL a failed reading is tried twice more, after `WAITS` seconds.

        Raises
        ------
        CcxrError
            The shard is cut or damaged, or cannot be reached.
        """
        shard = int(np.searchsorted(self._first_groups, group, side="right")) - 1
        self.groups_read += 1
        for wait in WAITS if is_url(self.place) else ():
            try:
                return self._read(shard, group - int(self._first_groups[shard]))
            except CcxrError as error:
                logger.warning("%s; it is tried again in %g s", error, wait)
                time.sleep(wait)
        return self._read(shard, group - int(self._first_groups[shard]))

    def _read(self, shard: int, number: int) -> Bytes:
        """A row group of a shard, whose footer is read once."""
        file = join(self.place, self.description.shards[shard].file)
        known = self._footers.get(shard)
        if known is None:
            known = self._footers[shard] = parquet_files.footer(file)
        return parquet_files.group(file, known, number, self.description.size)

    def __getitem__(self, key: Any) -> Any:
        """Squares of some slots, uint8 [B, 1, S, S]; or, with further indices, a part of one slot's square."""
        if isinstance(key, tuple):
            return self[key[0]][key[1:]]
        if isinstance(key, int | np.integer):
            return self.take(np.array([key], dtype=np.int64))[0]
        return self.take(np.arange(len(self))[key] if isinstance(key, slice) else np.asarray(key, dtype=np.int64))

    def take(self, slots: Ints) -> Bytes:
        """Squares of some slots, uint8 [B, 1, S, S]."""
        found = np.empty((len(slots), *self.shape[1:]), dtype=np.uint8)
        groups, places = self.group_of(slots)
        for group in np.unique(groups):
            wanted = np.flatnonzero(groups == group)
            found[wanted] = self._group(int(group))[places[wanted]]
        return found

    def _group(self, group: int) -> Bytes:
        """A row group, from those that were read last where it is one of them."""
        with self._lock:
            if group not in self._kept:
                self._kept[group] = self.read(group)
                while len(self._kept) > HELD:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(group)
            return self._kept[group]

    def moments(self, slots: Ints) -> tuple[int, int]:
        """The sum of all pixels of some slots, and of their squares, exact; no shard is read."""
        totals, squares = self._sums
        return sum(totals[slots].tolist()), sum(squares[slots].tolist())
