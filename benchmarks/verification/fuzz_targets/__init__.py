"""What the fuzzer is pointed at: one module a target, each with `seeds()` and `run(content)`.

`seeds()` makes small valid files by code, `{name: bytes}`. `run(content)` reads bytes as a stranger's file: it returns,
or raises `CcxrError`; anything else that it raises is a finding, as is a death, or a limit of time or memory passed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

NAMES = ("decode", "manifest", "recipe", "model", "gallery", "api")


class Target(NamedTuple):
    """One target's two functions."""

    seeds: Callable[[], dict[str, bytes]]
    run: Callable[[bytes], None]


def target(name: str) -> Target:
    """The functions of a target, imported now: the fuzzer wants to see the import."""
    module = import_module(f"benchmarks.verification.fuzz_targets.{name}")
    return Target(module.seeds, module.run)
