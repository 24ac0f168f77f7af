"""Jobs through two steps by Ray Data: prepared by calls on CPU workers, finished by actors that hold something large.

Ray Data begins a job when there is room for its result (back-pressure), begins it again where a worker died, and starts
another actor in the place of a dead one. It would do so for ever: `attempts` ends it.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from contrastive_cxr.distributed import attempts
from contrastive_cxr.errors import CcxrError

BLOCKS = 4096
"""Blocks that the jobs of a stream are divided into at most; each is one task."""
BLOCK_BYTES = 16 * 2**20
"""Bytes of results that are handed on together."""
LINGER = 30.0
"""Seconds that a stream's thread has to end, where the cluster answers slowly or no more."""


@dataclass(frozen=True)
class Work:
    """The two steps.

    Attributes
    ----------
    prepare : callable
        `prepare(job)`: what the second step is given.
    finish : class
        `finish(*arguments)` is made once for each actor; called with what was prepared, it gives the result.
    arguments : tuple
        Also handles of `Cluster.share`, in the place of what they stand for.
    gpu : bool
        An actor for each GPU; else on CPUs, at most one for each core but one.
    """

    prepare: Callable[[Any], Any]
    finish: Callable[..., Callable[[Any], Any]]
    arguments: tuple[Any, ...] = field(default=())
    gpu: bool = False


@dataclass(frozen=True)
class Lost:
    """A job whose workers died, in the place of its result."""

    words: str


class Finishing:
    """An actor of Ray Data around `Work.finish`.

    Parameters
    ----------
    stream : str
    made_of : bytes
        `packed((Work.finish, Work.arguments))`: small, so that an actor that is begun again is sent it again.
    """

    def __init__(self, stream: str, made_of: bytes) -> None:
        import ray

        finish, arguments = unpacked(made_of)
        given = [ray.get(each) if isinstance(each, ray.ObjectRef) else each for each in arguments]
        self._finish, self._stream = finish(*given), stream

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Finish each prepared job."""
        cells = zip(batch["number"], batch["packed"], strict=True)
        found = [tried(self._stream, "finish", int(number), self._finish, cell) for number, cell in cells]
        return {"number": batch["number"], "packed": found}


def tried(stream: str, step: str, number: int, function: Callable[[Any], Any], cell: bytes) -> bytes:
    """The packed result of a step for a packed value; `Lost` where that has ended too many workers."""
    value = unpacked(cell)
    if isinstance(value, Lost):
        return cell
    with attempts.counted(stream, step, number) as died:
        return packed(Lost(str(value)) if died >= attempts.MOST else function(value))


def streamed(jobs: Sequence[Any], work: Work, cpus: int, gpus: int) -> Generator[Any]:
    """The result of each job, as they come; to be closed where it is not read to its end.

    Parameters
    ----------
    jobs : sequence
        Picklable; `str` of one names it in an error.
    cpus, gpus : int
        Of the cluster.

    Raises
    ------
    CcxrError
        A job ended the worker that did it, again and again.
    """
    if not jobs:
        return
    stream = uuid.uuid4().hex
    try:
        with closing(_rows(_pipeline(jobs, work, cpus, gpus, stream))) as rows:
            for row in rows:
                result = unpacked(row["packed"])
                if isinstance(result, Lost):
                    raise CcxrError(
                        f"workers died {attempts.MOST} times at {result.words}: out of memory, or a file that ends the "
                        "process that opens it; look at the files, or leave them out"
                    )
                yield result
    finally:
        attempts.forget(stream)


def _rows(data: Any) -> Generator[dict[str, Any]]:
    """The rows of a data set of Ray Data, as they come; when this is closed, nothing of it runs any more.

    `iter_rows` would leave threads behind that ask the cluster for blocks, and each asking connects to a cluster again.
    """
    import ray
    from ray.data.block import BlockAccessor

    before = set(threading.enumerate())
    bundles = data.iter_internal_ref_bundles()  # its thread runs from here on: the first result is there
    begun = [each for each in threading.enumerate() if each not in before and type(each).__module__.startswith("ray.")]
    try:
        while (bundle := next(bundles, None)) is not None:
            for block in bundle.block_refs:
                yield from BlockAccessor.for_block(ray.get(block)).iter_rows(public_row_format=True)
    finally:
        del bundles  # which stops the thread that gives out the work, but waits two seconds for its end at most
        for thread in begun:
            thread.join(LINGER)


def _pipeline(jobs: Sequence[Any], work: Work, cpus: int, gpus: int, stream: str) -> Any:
    """The steps as a data set of Ray Data; nothing runs yet."""
    import ray.data

    _quiet(ray.data.DataContext.get_current())
    prepare = work.prepare

    def prepared(row: dict[str, Any]) -> dict[str, Any]:
        return {
            "number": row["number"],
            "packed": tried(stream, "prepare", row["number"], prepare, row["packed"]),
        }

    share = 1.0 if cpus > 1 else 0.5 * cpus  # both steps need room at the same time
    most = gpus if work.gpu else max(1, cpus - 1)
    rows = [{"number": number, "packed": packed(job)} for number, job in enumerate(jobs)]
    data: Any = ray.data.from_items(rows, override_num_blocks=min(len(rows), BLOCKS))
    # Of another size than the actors' pool: Ray Data would let the actors do both steps, one after the other.
    apart = ray.data.TaskPoolStrategy(size=cpus + 1)
    data = data.map(prepared, num_cpus=share, compute=apart)
    return data.map_batches(
        Finishing,
        fn_constructor_args=(stream, packed((work.finish, work.arguments))),
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most),
        **({"num_gpus": 1, "num_cpus": 0} if work.gpu else {"num_cpus": share}),
    )


def _quiet(context: Any) -> None:
    """Progress is shown by this package; Ray Data writes its own into its log files."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)


def packed(value: Any) -> bytes:
    """Any value as one cell of a table: names of files need not be Unicode, which Arrow's text has to be."""
    import ray.cloudpickle

    pickle: Any = ray.cloudpickle
    return bytes(pickle.dumps(value))


def unpacked(cell: bytes) -> Any:
    """The value of a cell, which this package's own processes packed."""
    import ray.cloudpickle

    return ray.cloudpickle.loads(bytes(cell))
