"""Two processes of one thread against one process of two threads, on the CPU: does dividing a batch cost anything?

python -m benchmarks.two_processes [--quick] [--repeats 3]

Phase 1 on phantoms, the same global batch: once in a process, once in two that torchrun starts and that average their
gradients over gloo. Images a second of the epochs after the first, all included; process for process in turn (A B A B).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks import record, timing
from benchmarks.subject import size, subject
from contrastive_cxr import phases
from contrastive_cxr.run.log import MetricsLog

EPOCHS = 3


def main() -> None:
    """Measure both in turn, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        return work(options.worker, options.quick)
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as scratch:
        launch(1, Path(scratch) / "warm", options.quick)  # paints and decodes
        for turn in range(2 if options.quick else options.repeats):
            for processes, found in rates.items():
                found.append(launch(processes, Path(scratch) / f"{processes}-{turn}", options.quick))
    shares = timing.ratios(rates[2], rates[1])
    figures = [
        record.figure("two processes of one thread over one of two", shares, wanted=">= 0.9"),
        record.figure("two processes", rates[2], "images/s"),
        record.figure("one process", rates[1], "images/s"),
    ]
    what = {"question": "Two processes of one thread against one of two threads", "size": vars(size(options.quick))}
    record.write(options.result, "two_processes", {**what, "figures": figures, "words": options.words})
    return None


def launch(processes: int, folder: Path, quick: bool) -> float:
    """Images a second of a training in so many processes, of two threads in all."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    start = torchrun if processes > 1 else []
    words = [*start, "-m", "benchmarks.two_processes", "--worker", str(folder), *(["--quick"] if quick else [])]
    threads = str(2 // processes)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def work(folder: Path, quick: bool) -> None:
    """Train as one of the processes; the first one prints its images a second."""
    if "WORLD_SIZE" not in os.environ:
        torch.set_num_threads(2)
    words = [f"pretrain.epochs={EPOCHS}", f"pretrain.validate_every={EPOCHS}", "pretrain.initial_image_size=null"]
    made = subject(folder.parent, size(quick), ["runtime.device=cpu", *words])
    phase = phases.pretrain(made.setting("pretrain", folder.name))
    if made.fabric.is_global_zero:
        rows = MetricsLog(phase / "timing.jsonl").rows()[1:]
        images = sum(row["images_per_second"] * row["train_seconds"] for row in rows)
        record.say(json.dumps(images / sum(row["train_seconds"] for row in rows)))


if __name__ == "__main__":
    main()
