from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks import timing

CPU = torch.device("cpu")


def test_works_are_timed_in_turn_after_a_warm_up() -> None:
    order: list[str] = []
    found = timing.in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3, CPU, warm=2)
    assert order == ["a", "b"] * 5
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}


def test_seconds_are_those_of_the_call() -> None:
    assert timing.seconds(lambda: time.sleep(0.05), CPU) >= 0.05


def test_the_peak_of_memory_is_seen_though_it_is_freed() -> None:
    with timing.Peak() as peak:
        before = timing.memory()
        block = np.ones(64 * 2**20, np.uint8)
        time.sleep(0.1)
        del block
    assert peak.most - before > 60
