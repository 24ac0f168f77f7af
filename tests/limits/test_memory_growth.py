"""The memory of a run does not grow with its epochs: 200 of them in each phase, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.memory_growth import PHASES, WANTED, growth, watched


def test_a_growth_is_found_in_the_noise() -> None:
    noise = np.random.default_rng(0).exponential(200, 200)
    flat = growth(list(300_000 + noise))
    leaking = growth(list(300_000 + noise + 40 * np.arange(200)))
    assert abs(flat["slope_kib"]) < 2
    assert leaking["slope_kib"] == pytest.approx(40, abs=2)
    assert leaking["last_mib"] - leaking["first_mib"] == pytest.approx(40 * 162 / 1024, rel=0.1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process in /proc")
def test_memory_does_not_grow_over_200_epochs(tmp_path: Path) -> None:
    found = watched(tmp_path, epochs=200)
    for name in PHASES:
        line = growth(found[name])
        assert line["epochs"] > 180, f"{name}: epochs were not seen"
        assert line["slope_kib"] < WANTED, f"{name}: {line}"
