"""Two processes against one: gradients, draws, memory, weights, metrics, validation; and the death of one of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_cxr import engine
from contrastive_cxr.recipe import schema
from tests.engine import two as engines
from tests.phases import two as phases


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    """One test: with fixtures, two test processes might launch twice."""
    launch(tmp_path)
    engines.check(tmp_path, tmp_path / "alone")
    phases.check(tmp_path, phases.train(engine.launch(schema.Runtime(device="cpu")), tmp_path / "alone-too"))
    said = (tmp_path / "said").read_text()
    assert "process 0 of 2 lost another process" in said
    assert said.endswith("Go on with --resume")


def launch(folder: Path) -> None:
    """The environment that `torchrun --nproc-per-node 2` gives to each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    shared = {**os.environ, "PYTHONPATH": path, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0",
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "tests.two_processes", str(folder)], cwd=Path(__file__).parents[1], env=shared,
        stderr=subprocess.PIPE, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
