"""How things are timed: after a warm-up, with the device waited for inside the timed region, rivals in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


def wait_for(device: torch.device) -> None:
    """Let the device finish what it was given; a CPU has nothing queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall seconds of a call, the device's work included."""
    wait_for(device)
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


def in_turn(
    works: Mapping[str, Callable[[], object]], repeats: int, device: torch.device, warm: int = 1
) -> dict[str, list[float]]:
    """Seconds of each work, `repeats` times in turn (A B A B) after `warm` rounds that do not count."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warm + repeats):
        for name, work in works.items():
            spent = seconds(work, device)
            if turn >= warm:
                found[name].append(spent)
    return found


def ratios(upper: list[float], lower: list[float]) -> list[float]:
    """One ratio a turn: what slows both sides of a turn alike falls out."""
    return [one / other for one, other in zip(upper, lower, strict=True)]


def in_process(module: str, words: list[str], threads: int) -> dict[str, Any]:
    """What `python -m benchmarks.MODULE WORDS` prints as JSON in its last line, in a process of so many threads."""
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    command = [sys.executable, "-m", f"benchmarks.{module}", *words, "--threads", str(threads)]
    done = subprocess.run(command, env=os.environ | limits, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def memory(word: str = "RssAnon") -> float:
    """This process's memory now, MiB: `RssAnon` anonymous, `RssFile` mapped files, `VmHWM` the most of both so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(word + ":"):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {word}; measuring memory needs Linux")


def peak(device: torch.device) -> Peak | DevicePeak:
    """The peak of a device's memory while a block runs."""
    return DevicePeak(device) if device.type == "cuda" else Peak()


class DevicePeak:
    """The most that torch allocated on a GPU (MiB) while the block runs, `.above` what was there before."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.above = device, 0.0

    def __enter__(self) -> DevicePeak:
        torch.cuda.reset_peak_memory_stats(self.device)
        self._before = torch.cuda.memory_allocated(self.device)
        return self

    def __exit__(self, *_: object) -> None:
        self.above = (torch.cuda.max_memory_allocated(self.device) - self._before) / 2**20


class Peak:
    """The most anonymous memory (MiB) while the block runs, `.most`, sampled every 20 ms, `.above` the first."""

    def __enter__(self) -> Peak:
        self.most, self._stop = memory(), threading.Event()
        self._before = self.most
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.most = max(self.most, memory())

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.most = max(self.most, memory())
        self.above = max(0.0, self.most - self._before)
