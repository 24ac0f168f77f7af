"""The processes of a run, as `torchrun` says them in the environment; one alone where it started none."""

from __future__ import annotations

import os


def count() -> int:
    """How many, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def count_here() -> int:
    """How many on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", str(count())))


def is_first() -> bool:
    """Whether this is the process that writes and speaks: the only one, or the first."""
    return os.environ.get("RANK", "0") == "0"
