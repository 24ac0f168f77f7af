"""Several processes as a user starts them: evaluation, encoding by the Slurm script, and a process that dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.run import checkpoint
from tests.small import overrides
from tests.training.test_processes import ENVIRONMENT, PROGRAM, ROOT, ccxr


@pytest.mark.slow
def test_two_processes_evaluate_as_one_does(finished: Path, tmp_path: Path) -> None:
    done = ccxr("evaluate", finished, "--out", tmp_path / "scores")
    assert done.returncode == 0, done.stderr[-3000:]
    alone, two = (json.loads((folder / "report.json").read_text()) for folder in (finished, tmp_path / "scores"))
    assert two["n"] == alone["n"]
    assert two["counts"] == alone["counts"]
    for name, entry in alone["scores"].items():
        assert two["scores"][name]["value"] == pytest.approx(entry["value"], abs=1e-6), name
    assert two["budget"]["processes"] == 2
    assert done.stdout.count("Report: ") == 1


FAKE_SRUN = """#!/usr/bin/env bash
# two nodes of one machine: the same task twice, as srun starts it
shift
for node in 0 1; do SLURM_NODEID=$node "$@" & tasks="$tasks $!"; done
for task in $tasks; do wait "$task" || exit 1; done
"""


@pytest.mark.slow
def test_the_slurm_script_encodes_on_two_nodes(finished: Path, tmp_path: Path) -> None:
    """The script as it stands; `srun` and `scontrol` alone are stand-ins."""
    pytest.importorskip("pyarrow")
    programs = {
        "srun": FAKE_SRUN,
        "scontrol": "#!/bin/sh\necho localhost; sleep 0.2; echo other\n",  # slower than a reader that stops early
        "torchrun": f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "node[0-1]", "SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1",
             "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_ID": str(os.getpid()),
             "PATH": f"{tmp_path}:{os.environ['PATH']}"}  # fmt: skip
    done = subprocess.run(
        ["bash", "docs/scale/slurm.sh", "encode", str(finished), "all", "--out", str(tmp_path / "vectors")], cwd=ROOT,
        capture_output=True, text=True, env={**os.environ, **slurm}, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Vectors: ") == 1
    table = pd.read_parquet(tmp_path / "vectors" / "parts")
    assert len(table) == 60
    wanted = EmbeddingModel.load(finished).embed(list(table["file"]))
    np.testing.assert_allclose(np.stack(list(table["vector"])), wanted, atol=1e-6)
    assert json.loads((tmp_path / "vectors" / "_encoding.json").read_text())["complete"]


def worker(launcher: int, rank: int) -> int | None:
    """Process id of a rank below torchrun's; None where it is not there yet."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == launcher and f"RANK={rank}".encode() in words:
            return int(entry.name)
    return None


@pytest.mark.slow
def test_the_death_of_a_process_ends_the_run_and_leaves_its_checkpoint(cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = overrides(cache, "pretrain.epochs=2000", "embed=null", "finetune=null", "runtime.timeout_minutes=3")
    started = subprocess.Popen(
        [sys.executable, *PROGRAM, "run", "phantom", *words, "--out", str(out)], cwd=ROOT, env=ENVIRONMENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    last = out / "pretrain" / "checkpoints" / "last.ckpt"
    limit = time.monotonic() + 400
    while not last.is_file() and started.poll() is None and time.monotonic() < limit:
        time.sleep(0.1)
    assert last.is_file(), started.poll()
    second = worker(started.pid, 1)
    assert second is not None
    os.kill(second, signal.SIGKILL)
    _, said = started.communicate(timeout=120)  # no hang: far less than the three minutes of the timeout
    assert started.returncode != 0
    assert "-9" in said or "SIGKILL" in said or "Signal 9" in said, said[-2000:]
    known = checkpoint.load(last)["progress"]
    assert known["epoch"] >= 1
