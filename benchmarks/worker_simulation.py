"""A job over many images on many workers, simulated event by event with SimPy.

A driver hands parts of images to workers. A worker reads its part from the store, decodes, computes and writes, these
four beside each other (a pipeline: the slowest sets its pace), then asks for the next. The store answers a limited
number of requests a second and sends a limited number of bytes. A worker may be slow for a part, and may die: its part
then begins anew after it has started again.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy

LEAST_PARTS = 64
"""Parts for each worker that are simulated at most: of more, several are taken as one, and every cost with them."""


@dataclass(frozen=True)
class Store:
    """An object store or a network disk.

    Attributes
    ----------
    latency : float
        Seconds from a request to its first byte.
    requests : float
        Requests a second that it answers, over all workers.
    bytes : float
        Bytes a second that it sends, over all workers.
    """

    latency: float
    requests: float
    bytes: float


@dataclass(frozen=True)
class Worker:
    """A worker's costs, each for one image.

    Attributes
    ----------
    requests : float
        Requests to the store; below 1 where one request brings several images.
    bytes : float
        Bytes that come from the store.
    decode, compute, write : float
        CPU seconds on one core; seconds of the device; CPU seconds on one core.
    cores : int
        For decoding and writing.
    connections : int
        Requests that wait at once.
    network : float
        Bytes a second of its own network card.
    """

    requests: float
    bytes: float
    decode: float
    compute: float
    write: float
    cores: int = 16
    connections: int = 64
    network: float = 1.25e9


@dataclass(frozen=True)
class Troubles:
    """What goes wrong.

    Attributes
    ----------
    spread : float
        Sigma of the lognormal time of a part.
    slow_share, slow_factor : float
        Share of the parts that take so many times as long.
    hours_between_failures : float
        Mean time between failures of one worker; 0: none.
    restart : float
        Seconds until a worker that died asks for work again: noticed, started, model loaded.
    """

    spread: float = 0.1
    slow_share: float = 0.01
    slow_factor: float = 5.0
    hours_between_failures: float = 100.0
    restart: float = 90.0


@dataclass(frozen=True)
class Job:
    """Images, images of a part, workers, and seconds of the driver for each part."""

    images: float
    part: int
    workers: int
    driver: float
    store: Store
    worker: Worker
    troubles: Troubles = Troubles()
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    seconds : float
        From the first part to the last.
    shares : {name: share}
        How busy each was, of the time: `store`, `driver`; and of the workers' time `read`, `decode`, `compute`, `write`
        (beside each other, so their sum may be above 1); `tail`, idle since no part was left; `failures`, lost.
    bound : str
        What bounds the job, see `bound_of`.
    """

    seconds: float
    shares: dict[str, float]
    bound: str


def stages(worker: Worker, store: Store) -> dict[str, float]:
    """Seconds an image of each stage of a worker that has the store for itself."""
    waits = worker.requests * store.latency / worker.connections
    return {
        "read": max(waits, worker.bytes / worker.network),
        "decode": worker.decode / worker.cores,
        "compute": worker.compute,
        "write": worker.write / worker.cores,
    }


def simulate(job: Job) -> Outcome:
    """Run a job."""
    run = _Run(job)
    run.environment.run()
    seconds = run.ended
    work = seconds * job.workers
    shares = {name: spent / work for name, spent in run.spent.items()}
    shares |= {"store": run.store_busy / seconds, "driver": run.driver_busy / seconds}
    shares |= {"tail": run.idle / work, "failures": run.lost / work}
    return Outcome(seconds, shares, bound_of(shares))


def bound_of(shares: dict[str, float]) -> str:
    """What bounds a job.

    The store or the driver where it is busy for more than nine tenths of the time; else the tail or the failures where
    they take more than a quarter of the workers' time; else the slowest stage of a worker.
    """
    for name in ("store", "driver"):
        if shares[name] > 0.9:
            return name
    if shares["tail"] > 0.25:
        return "tail"
    if shares["failures"] > 0.25:
        return "failures"
    return max(("read", "decode", "compute", "write"), key=lambda name: shares[name])


class _Run:
    """The processes of one job."""

    def __init__(self, job: Job) -> None:
        parts = math.ceil(job.images / job.part)
        self.merged = max(1, parts // (LEAST_PARTS * job.workers))  # parts that are simulated as one
        self.left = math.ceil(parts / self.merged)
        self.images = job.images / self.left
        self.job, self.rng = job, np.random.default_rng(job.seed)
        self.environment = simpy.Environment()
        self.driver, self.store = simpy.Resource(self.environment), simpy.Resource(self.environment)
        self.stages = {name: each * self.images for name, each in stages(job.worker, job.store).items()}
        self.spent = dict.fromkeys(self.stages, 0.0)
        self.driver_busy = self.store_busy = self.idle = self.lost = self.ended = 0.0
        self.ends: list[float] = []
        for _ in range(job.workers):
            self.environment.process(self.work())

    def work(self) -> Generator[Any, Any, None]:
        """A worker's life: parts, until none is left."""
        left = 0.0  # of a part that this worker died in
        while self.left or left:
            self.left -= 0 if left else 1
            with self.driver.request() as turn:
                yield turn
                yield self.environment.timeout(self.job.driver * self.merged)
                self.driver_busy += self.job.driver * self.merged
            begun = self.environment.now
            planned = left or self.planned()
            left, death = 0.0, self.death()
            if death < planned:
                yield self.environment.timeout(death + self.job.troubles.restart)
                each = max(self.stages.values()) / self.merged
                kept = death // each * each  # whole parts among those that are simulated as one
                left = planned - kept
                self.lost += self.environment.now - begun - kept
                continue
            yield self.environment.timeout(planned) & self.environment.process(self.served())
            for name, each in self.stages.items():
                self.spent[name] += each
        self.ends.append(self.environment.now)
        if len(self.ends) == self.job.workers:
            self.ended = max(self.ends)
            self.idle = sum(self.ended - each for each in self.ends)

    def planned(self) -> float:
        """Seconds of a part where the store has time for it: its slowest stage, spread, and sometimes slow."""
        troubles = self.job.troubles
        slow = troubles.slow_factor if self.rng.random() < troubles.slow_share else 1.0
        # several parts that are simulated as one spread less, and one slow part among them counts as one
        spread = math.exp(self.rng.normal(0, troubles.spread / math.sqrt(self.merged)))
        return max(self.stages.values()) * (1 + (slow - 1) / self.merged) * spread

    def death(self) -> float:
        """Seconds until this worker dies."""
        hours = self.job.troubles.hours_between_failures
        return float(self.rng.exponential(hours * 3600)) if hours else math.inf

    def served(self) -> Generator[Any, Any, None]:
        """The store's own time for a part, in which it serves nobody else."""
        store, worker = self.job.store, self.job.worker
        each = max(worker.requests / store.requests, worker.bytes / store.bytes) * self.images
        with self.store.request() as turn:
            yield turn
            yield self.environment.timeout(each)
            self.store_busy += each
