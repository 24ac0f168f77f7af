"""A life: a run, its evaluation, a gallery and an encoding; killed here and there, and compared with one left alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tests.crash.moments import ANY, MOMENTS, Plan
from tests.crash.sitting import Ended, forked
from tests.small import overrides

Sit = Callable[[Sequence[str], Path, Plan | None], Ended]
TINY = (
    "model.backbone=cnn2", "data.images=36", "data.workers=1", "pretrain.trainable=null", "pretrain.augment=none",
    "embed.augment=none", "embed.images_per_class=2", "pretrain.ema_decay=0.5", "embed.memory_bank_size=8",
    "runtime.checkpoint_minutes=1.0e-9",
)  # fmt: skip
"""Beside what makes the phantom recipe small: seconds a run, a checkpoint after every update."""
THERE = ("is there already", "exists; name another")
"""What a command says whose kill came after its last rename: its result is there, and is not made twice."""


@dataclass(frozen=True)
class Kill:
    """A kill that was carried out."""

    command: str
    plan: Plan


@dataclass
class Life:
    """What became of one."""

    kills: list[Kill] = field(default_factory=list)
    missed: int = 0
    lost: list[str] = field(default_factory=list)


def commands(place: Path, *more: str, all_of_them: bool = True) -> dict[str, list[str]]:
    """The command lines of a life in `place`, in order; each can be given again after a kill."""
    run = str(place / "run")
    first = {"run": ["run", "phantom", *overrides(place / "cache", *TINY, *more), "--out", run, "--resume", "auto"]}
    index = {"index": ["index", run, "train", "--out", str(place / "gallery"), "--kind", "hnsw"]}
    if not all_of_them:
        return first | index
    evaluate = {"evaluate": ["evaluate", run, "--split", "val", "--out", str(place / "val")]}
    return first | evaluate | index | {"encode": ["encode", run, "all", "--out", str(place / "vectors.npy")]}


def left_alone(place: Path, lines: dict[str, list[str]], sit: Sit = forked) -> dict[str, Ended]:
    """A life without kills in `place`, then moved to `place.alone`: how each command ended, with its counts."""
    found = {name: sit(words, place.with_suffix(".log"), None) for name, words in lines.items()}
    for name, ended in found.items():
        assert ended.code == 0, f"{name} ended with {ended.code}: {ended.said[-2000:]}"
    place.rename(alone(place))
    return found


def alone(place: Path) -> Path:
    """Where the life that was left alone is."""
    return place.with_name(f"{place.name}.alone")


def drawn(seen: dict[str, Ended], count: int, rng: np.random.Generator) -> dict[str, list[Plan]]:
    """`count` plans, evenly over the moments and then over their calls, by the command that they belong to."""
    found: dict[str, list[Plan]] = {name: [] for name in seen}
    for moment in rng.choice(MOMENTS, count):
        where = [(name, call) for name, ended in seen.items() for call in range(len(ended.calls.get(moment, ())))]
        if not where:
            raise ValueError(f"no command has the moment '{moment}': it was renamed")
        # any time: a command by the time it takes
        weights = [seen[name].calls[moment][call][1] if moment == ANY else 1.0 for name, call in where]
        name, call = where[rng.choice(len(where), p=np.array(weights) / sum(weights))]
        found[name].append(Plan(str(moment), call + 1, float(rng.random()), seen[name].calls[moment][call][1]))
    return {name: in_order(plans, seen[name]) for name, plans in found.items()}


def in_order(plans: list[Plan], seen: Ended) -> list[Plan]:
    """The plans of a command one after the other: the later ones count from where the one before has killed.

    What was done by then is not done again, or counted a second time: a plan comes a little early, not too late.
    """
    found: list[Plan] = []
    before = 0.0
    for plan in sorted(plans, key=lambda plan: _time(plan, seen)):
        done = sum(begun < before for begun, _ in seen.calls[plan.moment])
        found.append(replace(plan, call=max(1, plan.call - done)))
        before = _time(plan, seen)
    return found


def _time(plan: Plan, seen: Ended) -> float:
    """When a plan kills, seconds after the beginning of a command that is left alone."""
    begun, took = seen.calls[plan.moment][plan.call - 1]
    return begun + plan.share * took


def lived(place: Path, lines: dict[str, list[str]], plans: dict[str, list[Plan]], sit: Sit = forked) -> Life:
    """Live in `place` anew: each command is given again until all its kills are done and it ends by itself."""
    shutil.rmtree(place, ignore_errors=True)
    log = place.with_suffix(".log")
    log.unlink(missing_ok=True)
    life = Life()
    for name, words in lines.items():
        ended, left = None, list(plans.get(name, ()))
        while left and (ended is None or ended.killed):
            ended = sit(words, log, left[0])
            if ended.killed:
                life.kills.append(Kill(name, left.pop(0)))
        life.missed += len(left)  # the command was over before
        if ended is None or ended.killed:
            ended = sit(words, log, None)
        if ended.code != 0 and not (ended.code == 2 and any(word in ended.said[-600:] for word in THERE)):
            life.lost.append(f"{name} ended with {ended.code} after {plans.get(name)}: {ended.said[-1500:]}")
            return life
    return life
