"""Named moments of a command, and a kill inside one of them: by the process itself or by its watcher.

The product has no hook for this. What a moment stands for is wrapped in the process that is to die, after it was
started and before its command runs.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

STAGES = {
    "painting": ("contrastive_cxr.data.phantom:paint",),
    "decoding": ("contrastive_cxr.data.cache:decode",),
    "cache writing": ("contrastive_cxr.data.cache_files:Store.add", "contrastive_cxr.data.cache_files:Store.commit"),
    "optimizer step": ("contrastive_cxr.engine.step:TrainStep.update",),
    "validation": ("contrastive_cxr.engine.loop:Loop._validate",),
    "checkpoint writing": ("contrastive_cxr.run.checkpoint:save",),
    "model writing": ("contrastive_cxr.models.weights:save",),
    "evaluation": (
        "contrastive_cxr.evaluation.evaluate:score_split",
        "contrastive_cxr.evaluation.external:score_split",
    ),
    "report writing": ("contrastive_cxr.report:write",),
    "index building": (
        "contrastive_cxr.inference.gallery:embedded",
        "contrastive_cxr.retrieval.gallery:Gallery.save",
    ),
    "encode": ("contrastive_cxr.inference.encode:write_array",),
}
"""A stage of a command: the functions that it consists of. The watcher kills at a random time inside one call."""

POINTS = ("os:fsync", "os:replace", "os:pwrite", "os:unlink")
"""Calls that change the disk. The process kills itself just before, in the middle, or just after one."""

ANY = "any time"
MOMENTS = (ANY, *STAGES, *POINTS)


@dataclass(frozen=True)
class Plan:
    """A kill: in which moment, in which call of it, and where in that call.

    Attributes
    ----------
    call : int
        From 1.
    share : float
        0 the beginning of the call, 1 its end.
    seconds : float
        What such a call takes; not used at a point.
    number : int
        The signal; at a point it is SIGKILL.
    """

    moment: str
    call: int
    share: float
    seconds: float = 0.0
    number: int = signal.SIGKILL

    def dump(self) -> str:
        """As one word."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, word: str) -> Plan:
        """From one word."""
        return cls(**json.loads(word))


class Seen:
    """When each call of each moment began and how long it took, seconds, in a command that is left alone."""

    def __init__(self) -> None:
        self.calls: dict[str, list[tuple[float, float]]] = {}
        self._begun = time.monotonic()

    def install(self) -> None:
        """Count from now on, in this process."""
        for moment in (*STAGES, *POINTS):
            for place in STAGES.get(moment, (moment,)):
                wrap(place, functools.partial(self._counted, moment))

    def _counted(self, moment: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        begun = time.monotonic()
        try:
            return function(*args, **named)
        finally:
            self.calls.setdefault(moment, []).append((begun - self._begun, time.monotonic() - begun))

    def finish(self) -> None:
        """The whole command is one call of any time."""
        self.calls[ANY] = [(0.0, time.monotonic() - self._begun)]


def install(plan: Plan, told: int) -> None:
    """Carry out a plan in this process: die at a point, or write to `told` when the watcher is to count its seconds."""
    if plan.moment == ANY:
        os.write(told, b"!")
        return
    calls = [0]

    def counted(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == plan.call:
            if plan.moment in POINTS:
                return die(plan, function, *args, **named)
            os.write(told, b"!")
        return function(*args, **named)

    for place in STAGES.get(plan.moment, (plan.moment,)):
        wrap(place, counted)


def die(plan: Plan, function: Callable[..., Any], *args: Any, **named: Any) -> None:
    """Kill this process before, in the middle of, or after a call that changes the disk."""
    if plan.share > 2 / 3:
        function(*args, **named)
    elif plan.share > 1 / 3 and plan.moment == "os:fsync":
        halve(args[0])
    elif plan.share > 1 / 3 and plan.moment == "os:pwrite":
        handle, content, offset = args
        function(handle, content[: len(content) // 2], offset)
    os.kill(os.getpid(), signal.SIGKILL)


def halve(handle: int) -> None:
    """Lose the second half of a file that was not synced: what a power cut may do. Of a log, earlier rows were."""
    name = os.readlink(f"/proc/self/fd/{handle}")
    if os.path.isfile(name) and not name.endswith((".jsonl", ".u8")):
        os.truncate(name, os.stat(name).st_size // 2)


def wrap(place: str, around: Callable[..., Any]) -> None:
    """Replace `module:name` or `module:class.name` by `around(function, *args)`."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*args: Any, **named: Any) -> Any:
        return around(function, *args, **named)

    setattr(owner, name, wrapped)
