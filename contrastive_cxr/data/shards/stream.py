"""The squares of the steps of an epoch, read row group by row group as the steps come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.shards.store import ShardStore

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
AHEAD = 8
"""Row groups that are read before they are needed, while the device computes: 32 MiB of squares of 256 x 256."""
THREADS = 4


class Plan:
    """Which row group is read before which step, and when a square is no longer needed.

    A row group is read once for each time that its rows come round: the first time a row is drawn belongs to the first
    reading of its group, the second time to the second. Rows that are held belong to the first reading alone.

    Parameters
    ----------
    store : ShardStore
    steps : sequence of int64 [B]
        The slots that this process needs in each step, in order.
    held : int64 [H]
        Slots that stay in memory from their first step to their last.

    Attributes
    ----------
    items : int64 [sum of B]
        Of each square in the order of the steps, the number of the copy in memory that it is.
    groups : int64 [V]
        Row groups in the order in which they are read.
    needed : int64 [V]
        The step before which each is read.
    peak : int
        Most squares that wait in memory at once.
    """

    def __init__(self, store: ShardStore, steps: Sequence[Ints], held: Ints) -> None:
        flat = np.concatenate(steps) if steps else np.empty(0, np.int64)
        self.ends = np.cumsum([0, *map(len, steps)])
        step = np.repeat(np.arange(len(steps)), np.diff(self.ends))
        turn = np.where(np.isin(flat, held), 0, occurrences(flat))
        names, firsts, self.items = np.unique(turn * len(store) + flat, return_index=True, return_inverse=True)
        self.last = np.zeros(len(names), dtype=np.int64)
        np.maximum.at(self.last, self.items, step)
        group, self.places = store.group_of(flat[firsts])
        total = int(store.group_of(np.array([max(len(store) - 1, 0)]))[0][0]) + 1
        visits, owner = np.unique(turn[firsts] * total + group, return_inverse=True)
        needed = np.full(len(visits), len(steps), dtype=np.int64)
        np.minimum.at(needed, owner, step[firsts])
        order = np.lexsort((visits % total, needed))
        self.groups, self.needed = (visits % total)[order], needed[order]
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        by_visit = np.argsort(rank[owner], kind="stable")
        self.members = np.split(by_visit, np.cumsum(np.bincount(rank[owner], minlength=len(order)))[:-1])
        self.peak = self._peak(needed[owner], len(steps))

    def _peak(self, since: Ints, steps: int) -> int:
        """Most items in memory at once; each is there from its reading to the end of its last step."""
        change = np.bincount(since, minlength=steps + 1)[: steps + 1].astype(np.int64)
        change[1:] -= np.bincount(self.last, minlength=steps)[:steps]
        return int(np.cumsum(change).max(initial=0))


def occurrences(values: Ints) -> Ints:
    """How often each value came before, int64.

    Examples
    --------
    >>> occurrences(np.array([7, 3, 7, 7, 3])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.empty(0, np.int64)
    found = np.empty(len(values), dtype=np.int64)
    found[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))
    return found


class Stream:
    """The squares of consecutive steps.

    Memory: `plan.peak` squares and `AHEAD` row groups.

    Parameters
    ----------
    store, steps, held
        As in `Plan`; the first step is the one that is asked for first.
    """

    def __init__(self, store: ShardStore, steps: Sequence[Ints], held: Ints) -> None:
        self.store, self.plan = store, Plan(store, steps, held)
        self.done = 0
        self._pool = np.empty((self.plan.peak, *store.shape[1:]), dtype=np.uint8)
        self._free = list(range(self.plan.peak))
        self._place = np.full(len(self.plan.last), -1, dtype=np.int64)
        self._read = 0
        self._asked: deque[Future[Bytes]] = deque()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="shards")

    def take(self) -> Bytes:
        """The squares of the next step, uint8 [B, 1, S, S]."""
        plan = self.plan
        while self._read < len(plan.groups) and plan.needed[self._read] <= self.done:
            self._ask()
            self._keep(self._asked.popleft().result(), plan.members[self._read])
            self._read += 1
        self._ask()
        items = plan.items[plan.ends[self.done] : plan.ends[self.done + 1]]
        found = self._pool[self._place[items]]
        over = np.unique(items[plan.last[items] == self.done])
        self._free.extend(self._place[over].tolist())
        self.done += 1
        return found

    def _ask(self) -> None:
        """Have the next row groups read by the threads."""
        begun = self._read + len(self._asked)
        for group in self.plan.groups[begun : self._read + AHEAD]:
            self._asked.append(self._threads.submit(self.store.read, int(group)))

    def _keep(self, squares: Bytes, items: Ints) -> None:
        """Copy what is needed of a row group to where it waits."""
        places = [self._free.pop() for _ in items]
        self._place[items] = places
        self._pool[places] = squares[self.plan.places[items]]

    def close(self) -> None:
        """Let go of what was asked for and not taken."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Follower:
    """Gives the squares of a training's steps, whichever step is asked for first: each epoch by a stream of its own.

    Parameters
    ----------
    store : ShardStore
    slots : int64 [N]
        Place of each row in the store.
    batches : callable
        `batches(epoch) -> sequence of int64 [B]`, rows: the epoch's global batches, as the loop has them. Batches
        without a word on what is held (`order.Epoch`) are of rows that the buffer holds, each read once.
    """

    def __init__(self, store: ShardStore, slots: Ints, batches: Callable[[int], Sequence[Ints]]) -> None:
        self.store, self.slots = store, slots
        self._batches = batches
        self._epoch: tuple[int, Sequence[Ints]] | None = None
        self._stream: tuple[tuple[int, int, int], Stream] | None = None
        self._last: tuple[tuple[int, int, int, int], Bytes] | None = None
        self._offset = 0
        self.peak = 0

    def batches(self, epoch: int) -> Sequence[Ints]:
        """The epoch's batches; those of the last epoch that was asked for are kept."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._batches(epoch)
        return self._epoch[1]

    def take(self, epoch: int, step: int, first: int, several: int) -> Bytes:
        """The squares of a part of a step.

        Parameters
        ----------
        epoch : int
        step : int
            Counted over all epochs.
        first : int
            Place of the part in the global batch.
        several : int
            Processes that share each batch equally.
        """
        batches = self.batches(epoch)
        index = step - epoch * len(batches)
        rank = first * several // len(batches[index])
        who = epoch, rank, several
        if self._last is not None and self._last[0] == (step, *who):  # a second view of the same images
            return self._last[1]
        if self._stream is None or self._stream[0] != who or self._stream[1].done != index - self._offset:
            self._begin(who, index)
        assert self._stream is not None, "it was begun in the line above"
        self._last = (step, *who), self._stream[1].take()
        return self._last[1]

    def _begin(self, who: tuple[int, int, int], index: int) -> None:
        """Start to read at a step of an epoch."""
        epoch, rank, several = who
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None  # its memory goes before the next one's comes
        batches = self.batches(epoch)
        steps = [self.slots[each[rank * len(each) // several : (rank + 1) * len(each) // several]] for each in batches]
        held = getattr(batches, "held", None)
        self._offset = index
        stream = Stream(self.store, steps[index:], self.slots if held is None else self.slots[held])
        self._stream = who, stream
        self.peak = max(self.peak, stream.plan.peak)
