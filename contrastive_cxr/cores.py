"""The cores that this process may use: what the scheduler and the container's quota leave, or what the user says."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What torch, MKL and OpenBLAS read as they are loaded."""


def available() -> int:
    """Cores that the scheduler gives this process, or the container's CPU quota if that is less, rounded up; 1 or more.

    joblib counts in the same way, but takes longer to import than `ccxr --help` takes.
    """
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(free, quota())))


def quota() -> float:
    """Cores of the container's CPU quota; infinite where there is none.

    Source: the kernel's `Documentation/admin-guide/cgroup-v2.rst` (`cpu.max`), and of version 1
    `scheduler/sched-bwc.rst`.
    """
    words: list[str] = []
    with suppress(OSError):
        words = (CGROUP / "cpu.max").read_text().split()
    if not words:
        with suppress(OSError):
            words = [(CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")]
    if len(words) != 2 or not all(word.isdigit() for word in words) or "0" in words:
        return math.inf  # `max`, or -1 of version 1
    return int(words[0]) / int(words[1])


def threads() -> int:
    """Threads to use: `OMP_NUM_THREADS`, at most the cores that are available; where it is not set, all of these."""
    word = os.environ.get(VARIABLES[0], "")
    return min(int(word), available()) if word.isdigit() and int(word) else available()


def set_threads(number: int | None) -> None:
    """Tell the libraries that are loaded later how many threads to use, in the environment.

    Parameters
    ----------
    number : int or None
        At least 1. None: the quota of the container if it is less than the machine has, as the libraries do not look
        for one; what the environment says already stays.
    """
    if number is None and (VARIABLES[0] in os.environ or quota() == math.inf):
        return
    os.environ.update(dict.fromkeys(VARIABLES, str(number or available())))
