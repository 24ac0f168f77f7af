"""One thread that owns the networks: it takes what several requests want at the same time through them together."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contrastive_cxr.server.refusals import Refusal

Work = Callable[[list[Any]], np.ndarray[Any, Any]]
Then = Callable[[Any], Any]
LONGEST_RETRY = 60


@dataclass(eq=False)
class Job:
    """What one request wants of the thread.

    Attributes
    ----------
    work : the name of what its items pass through; '' nothing: `then` gets the items themselves
    then : makes the answer of the items' results, in the thread
    dropped : nobody waits for it any more
    """

    work: str
    items: list[Any]
    then: Then
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    begun: float = field(default_factory=time.monotonic)
    dropped: bool = False


class Batcher:
    """A queue with a bound, and the thread that empties it.

    Parameters
    ----------
    works : {name: function}
        Each takes a list of items and gives an array with a row an item.
    most : int
        Items that pass through a function together.
    wait : float
        Seconds that the first of them waits for others.
    queue : int
        Items that wait; more are refused.
    setup : callable
        Called in the thread before anything else.
    seen : callable
        Told the number of items of each batch.
    """

    def __init__(
        self, works: Mapping[str, Work], most: int, wait: float, queue: int, *,
        setup: Callable[[], object] = lambda: None, seen: Callable[[int], object] = lambda count: None,
    ) -> None:  # fmt: skip
        self.works, self.most, self.wait, self.queue, self.setup, self.seen = works, most, wait, queue, setup, seen
        self.waiting, self.pace, self.busy_since = 0, 0.05, math.inf
        self._jobs: deque[Job] = deque()
        self._condition = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="ccxr-model", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Let it finish what waits, and end."""
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        self._thread.join(seconds)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def busy_seconds(self) -> float:
        """How long the thread has been at one batch; 0 where it waits."""
        return max(0.0, time.monotonic() - self.busy_since)

    async def submit(self, work: str, items: Sequence[Any], then: Then) -> Any:
        """What `then` makes of the items' results.

        A request that is cancelled takes its job along.

        Raises
        ------
        Refusal
            The queue is full, or the server is stopping.
        """
        loop = asyncio.get_running_loop()
        job = Job(work, list(items), then, loop, loop.create_future())
        with self._condition:
            if self._ending:
                raise Refusal("stopping", retry=5)
            if self.waiting + len(job.items) > self.queue:
                retry = min(LONGEST_RETRY, self.waiting * self.pace)
                raise Refusal("busy", f"{self.waiting} images wait for the model; no more are taken.", retry=retry)
            self._jobs.append(job)
            self.waiting += len(job.items)
            self._condition.notify_all()
        try:
            return await job.future
        finally:
            self._drop(job)

    def _drop(self, job: Job) -> None:
        job.dropped = True
        with self._condition, contextlib.suppress(ValueError):  # it is being worked on, or done
            self._jobs.remove(job)
            self.waiting -= len(job.items)

    def _run(self) -> None:
        self.setup()
        while jobs := self._next():
            self.busy_since = time.monotonic()
            count = sum(len(job.items) for job in jobs)
            self._answer(jobs)
            self.pace += 0.1 * ((time.monotonic() - self.busy_since) / count - self.pace)
            self.busy_since = math.inf

    def _next(self) -> list[Job]:
        """The jobs that are worked on next; none: the end."""
        with self._condition:
            while True:
                while not self._jobs:
                    if self._ending:
                        return []
                    self._condition.wait()
                until = self._jobs[0].begun + self.wait
                while self._ready() < self.most and (left := until - time.monotonic()) > 0:
                    self._condition.wait(left)
                if self._jobs:  # none: all were dropped while others were waited for
                    return self._taken()

    def _ready(self) -> int:
        """Items of the first job and of those that go with it; the first alone where nothing goes with it."""
        if not self._jobs:
            return self.most
        first = self._jobs[0].work
        return sum(len(job.items) for job in self._jobs if job.work == first) if first else self.most

    def _taken(self) -> list[Job]:
        """Take the first job out of the queue, and others that want the same, up to `most` items."""
        jobs: list[Job] = []
        count = 0
        for job in list(self._jobs):
            fits = not jobs or (job.work == jobs[0].work and job.work and count + len(job.items) <= self.most)
            if fits:
                jobs.append(job)
                count += len(job.items)
        for job in jobs:
            self._jobs.remove(job)
        self.waiting -= count
        return jobs

    def _answer(self, jobs: list[Job]) -> None:
        """Work, and hand each job its answer or what went wrong."""
        jobs = [job for job in jobs if not job.dropped]
        if not jobs:
            return
        items = [item for job in jobs for item in job.items]
        try:
            found = self._worked(jobs[0].work, items) if jobs[0].work else items
        except Exception as error:  # the thread has to live on; every request gets the error
            for job in jobs:
                _deliver(job, error=error)
            return
        first = 0
        for job in jobs:
            own = found[first : first + len(job.items)]
            first += len(job.items)
            try:
                _deliver(job, job.then(own))
            except Exception as error:  # of this job alone
                _deliver(job, error=error)

    def _worked(self, work: str, items: list[Any]) -> Any:
        parts = []
        for first in range(0, len(items), self.most):
            batch = items[first : first + self.most]
            self.seen(len(batch))
            parts.append(self.works[work](batch))
        return np.concatenate(parts)


def _deliver(job: Job, answer: Any = None, error: Exception | None = None) -> None:
    """Hand over an answer, from the thread to the event loop."""

    def put() -> None:
        if job.future.done():
            return
        if error is None:
            job.future.set_result(answer)
        else:
            job.future.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop has ended
        job.loop.call_soon_threadsafe(put)
