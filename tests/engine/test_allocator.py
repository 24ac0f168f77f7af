"""Freed memory is kept: told by the page faults of a process of its own, as the setting is of the whole process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_cxr.engine import allocator

ROOT = Path(__file__).resolve().parents[2]
needs_glibc = pytest.mark.skipif("glibc" not in allocator._library(), reason="the C library is not glibc")
# Blocks of 64 MiB, filled and freed ten times over; and a sum that must not hang on where they lie.
PROGRAM = """
import json, resource, sys
import torch
from contrastive_cxr import engine
from contrastive_cxr.engine import allocator
from contrastive_cxr.recipe import schema
torch.set_num_threads(1)
if sys.argv[1] == "launch":
    engine.launch(schema.Runtime(device="cpu", keep_freed_memory=True))
torch.manual_seed(0)
weight = torch.nn.Linear(64, 262144)
def step():
    loss = weight(torch.ones(64, 64)).square().mean()
    weight.zero_grad(); loss.backward()
    return weight.weight.grad.sum().item()
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
value = [step() for _ in range(10)][-1]
after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(json.dumps({"faults": after - before, "value": value.hex(), "again": allocator.keep_freed_memory()}))
"""


def measured(word: str, **variables: str) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, word],
        cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@needs_glibc
@pytest.mark.slow
def test_a_launch_keeps_freed_memory_and_changes_no_value() -> None:
    plain, kept = measured("plain"), measured("launch")
    assert kept["again"] is True
    assert kept["value"] == plain["value"]
    assert kept["faults"] < plain["faults"] / 4, (kept, plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", "1000000"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=128000")],
)
def test_the_users_own_settings_stay(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert allocator.keep_freed_memory() is False


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_library", lambda: "")
    assert allocator.keep_freed_memory() is False


# What is allocated last keeps the C library from giving the memory below it back by itself.
FREED = """
import json
import pyarrow
from contrastive_cxr.engine.allocator import hand_back_freed_memory
def mib():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024
blocks = [bytes(100_000) for _ in range(500)]
columns = [pyarrow.array(["x" * 50] * 10_000) for _ in range(50)]
last = bytes(100_000)
del blocks, columns
before = mib()
hand_back_freed_memory()
print(json.dumps([before, mib()]))
"""


@needs_glibc
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the system has no /proc")
def test_freed_memory_goes_back_to_the_kernel() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", FREED], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    before, after = json.loads(done.stdout)
    assert before - after > 50, "500 blocks of 100 kB and 25 MB of text"
