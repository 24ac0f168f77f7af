"""A Ray cluster: one that runs already, or one on this machine that ends with the command."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from contrastive_cxr import cores, terminal
from contrastive_cxr.distributed import answering, stream, versions
from contrastive_cxr.errors import CcxrError, RequestError, raise_faults
from contrastive_cxr.run import processes
from contrastive_cxr.spread import Engine

logger = logging.getLogger(__name__)
STORE_BYTES = 512 * 2**20
"""Shared memory of a cluster that is started here: a stream holds batches of some MB, and what is more goes to disk."""
RETRIES = 5
"""How often a call is begun again because its worker died; a file that ends every process that opens it is no reason to
begin for ever."""
AHEAD = 4  # calls under way for each core


@dataclass(frozen=True)
class Cluster:
    """A connected cluster; an implementation of `spread.Spread`.

    Attributes
    ----------
    cpus, gpus : int
        Of all its machines.
    """

    cpus: int
    gpus: int
    _streams: list[Generator[Any]] = field(default_factory=list, repr=False)

    @property
    def workers(self) -> int:
        """Calls that run side by side."""
        return max(1, self.cpus)

    def results(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """As in `Spread`: in order, at most `AHEAD` calls a core are begun before their results are taken."""
        ray = _ray()
        remote = ray.remote(num_cpus=min(1, self.cpus), max_retries=RETRIES)(function)
        waiting: deque[Any] = deque()
        for arguments in calls:
            waiting.append(remote.remote(*arguments))
            if len(waiting) >= AHEAD * self.workers:
                yield _got(waiting.popleft())
        while waiting:
            yield _got(waiting.popleft())

    def kept(self, function: Callable[..., Any], calls: Iterable[Sequence[Any]], parts: int = 1) -> list[Any]:
        """As in `Spread`: results stay in the shared memory of the machine that made them, beyond that on its disk."""
        ray = _ray()
        remote = ray.remote(num_cpus=min(1, self.cpus), max_retries=RETRIES, num_returns=parts)(function)
        return [remote.remote(*arguments) for arguments in calls]

    def share(self, value: Any) -> Any:
        """A handle for a value that many workers need: it is sent to each machine once."""
        return _ray().put(value)

    def streamed(self, jobs: Sequence[Any], work: stream.Work) -> Iterator[Any]:
        """What comes out of `work` for each job, in any order (`stream.streamed`)."""
        from ray.data.exceptions import SystemException

        results = stream.streamed(jobs, work, self.cpus, self.gpus)
        self._streams.append(results)
        try:
            yield from results
        except (_ray().exceptions.RayError, SystemException) as error:
            raise failed(error) from error

    def close(self) -> None:
        """End the streams that were left before their end (an error, Ctrl-C); they give nothing more."""
        for results in self._streams:
            results.close()


@contextmanager
def connected(engine: Engine) -> Iterator[Cluster]:
    """Take a cluster, ready for work, and leave it (or end it, where it was started here).

    Parameters
    ----------
    engine : Engine
        Of Ray.

    Raises
    ------
    RequestError
        Its words are wrong, Ray is not installed, nothing answers at the address, or workers have another version.
    """
    faults = engine.faults()
    if processes.count() > 1:
        faults.append("--engine ray: is not for torchrun; Ray has workers of its own, so call ccxr alone")
    raise_faults(faults or ([] if engine.address is None else answering.faults(engine.address)))
    terminal.stage("connecting to Ray" if engine.address else "starting Ray")
    ray = _ray()
    if ray.is_initialized():
        raise RequestError("--engine ray: this process is connected to Ray already; call ray.shutdown() first")
    with _own_signals():
        _begin(ray, engine.address)
    try:
        versions.check(ray)
        total = ray.cluster_resources()
        with closing(Cluster(int(total.get("CPU", 0)) or 1, int(total.get("GPU", 0)))) as cluster:
            yield cluster
    finally:
        ray.shutdown()


def _begin(ray: Any, address: str | None) -> None:
    quiet = {"include_dashboard": None, "log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        quiet |= {
            "include_dashboard": False, "num_cpus": max(2, cores.available()), "object_store_memory": STORE_BYTES,
        }  # fmt: skip
    try:
        ray.init(address=address or "local", **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
        words = " ".join(str(error).split())[:300]
        raise RequestError(f"--engine ray: Ray cannot be used here ({words})") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """A signal ends this command as it did before: Ray has a handler of its own for SIGTERM, with another exit code."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if ours is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


def _ray() -> Any:
    """The library, silent."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    # Ray would give its workers the lowest priority, and on a shared machine they would then stand still.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # A thread of Ray Data that outlives the cluster by a moment would start another one.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers without a GPU see what the machine sees
    import ray

    return ray


def _got(handle: Any) -> Any:
    ray = _ray()
    try:
        return ray.get(handle)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, CcxrError):
            raise cause from error
        raise failed(error) from error
    except ray.exceptions.RayError as error:
        raise failed(error) from error


def failed(error: BaseException) -> CcxrError:
    """What a user is told where Ray gave up."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    words = lines[-1].strip() if lines else type(error).__name__
    return CcxrError(
        f"Ray gave up ({type(error).__name__}: {words}); what is written stays, and the same command goes on with it"
    )
