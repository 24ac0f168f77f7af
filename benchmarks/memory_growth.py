"""Does a long run grow? Anonymous memory of a real `ccxr run` at the end of each epoch, 200 epochs a phase.

python -m benchmarks.memory_growth [--quick]

The run is a process of its own, on painted phantoms, with a small network and W&B offline; this one reads its RssAnon
in /proc some fifty times a second and keeps the smallest value of each epoch: what is left when a step's and a
checkpoint's own memory is given back. The growth is the Theil-Sen slope over the epochs after the first tenth, with
its 95 % interval, in KiB an epoch. Linux alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import theilslopes

from benchmarks import record

PHASES = ("pretrain", "embed", "finetune")
PERIOD = 0.02
WANTED = 16
"""KiB an epoch: 3 MiB in 200 epochs, less than the noise of an allocator."""


def main() -> None:
    """Run, watch, write the result."""
    options = record.parser(__doc__).parse_args()
    epochs = 20 if options.quick else 200
    with tempfile.TemporaryDirectory() as scratch:
        found = watched(Path(scratch), epochs, options.threads)
    lines = {name: growth(values) for name, values in found.items()}
    figures = [
        record.figure(f"growth in {name}", line["slope_kib"], "KiB an epoch", wanted=f"<= {WANTED}")
        for name, line in lines.items()
    ]
    what = {"question": "Does the memory of a run grow with its epochs?", "epochs": epochs, "phases": lines}
    record.write(options.result, "memory_growth", {**what, "figures": figures, "words": options.words})


def command(scratch: Path, epochs: int) -> list[str]:
    """A run of so many epochs a phase, as short as an epoch can be."""
    words = [
        "model.backbone=timm/test_resnet", "model.image_size=32", "data.images=24", "data.cache_size=32",
        f"data.cache_dir={scratch / 'cache'}", "data.split.val=0.25", "data.split.test=0.25",
        "pretrain.batch_size=6", "pretrain.augment=xray", "embed.images_per_class=2", "embed.choose_by=last",
        "embed.projection=[16]",
        "embed.trainable=null", "embed.memory_bank_size=24", "finetune.batch_size=6", "finetune.augment=xray",
        "evaluation.resamples=100", "evaluation.baselines=false", "evaluation.audit=false", "tracking.wandb=offline",
        "runtime.device=cpu", *(f"{name}.epochs={epochs}" for name in PHASES),
    ]  # fmt: skip
    return [sys.executable, "-m", "contrastive_cxr", "run", "phantom", *words, "--out", str(scratch / "run")]


def watched(scratch: Path, epochs: int, threads: int = 1) -> dict[str, list[float]]:
    """The smallest anonymous memory of each epoch, KiB, by phase.

    Raises
    ------
    RuntimeError
        The run failed; its last words.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with (scratch / "said").open("wb") as said:
        run = subprocess.Popen(command(scratch, epochs), env=environment, stdout=said, stderr=said)
        found = watch(run, scratch / "run")
    if run.returncode:
        raise RuntimeError((scratch / "said").read_text(errors="replace")[-2000:])
    return found


def watch(run: subprocess.Popen[bytes], folder: Path) -> dict[str, list[float]]:
    """Look at a running process until it ends."""
    found: dict[str, list[float]] = {name: [] for name in PHASES}
    smallest, at = np.inf, (PHASES[0], 0)
    while run.poll() is None:
        smallest = min(smallest, anonymous(run.pid))
        now = place(folder, at[0])
        if now != at:
            if now[0] == at[0]:
                found[now[0]].append(float(smallest))
            smallest, at = np.inf, now
        time.sleep(PERIOD)
    return found


def place(folder: Path, phase: str) -> tuple[str, int]:
    """The phase that is trained and how many of its epochs are done."""
    for name in PHASES[::-1]:
        log = folder / name / "timing.jsonl"
        if log.exists():
            return name, log.read_bytes().count(b"\n")
    return phase, 0


def anonymous(process: int) -> float:
    """Memory of a process that is no file's, KiB; infinite where it has just gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return np.inf
    return next((float(line.split()[1]) for line in lines if line.startswith("RssAnon")), np.inf)


def growth(values: list[float]) -> dict[str, Any]:
    """Slope over the epochs after the first tenth, KiB an epoch, and the ends of the line."""
    steady = np.array(values[len(values) // 10 :])
    slope, _, low, high = theilslopes(steady, np.arange(len(steady)))
    ends = [float(np.median(part)) / 1024 for part in (steady[: len(steady) // 10 + 1], steady[-len(steady) // 10 :])]
    return {
        "epochs": len(values),
        "slope_kib": round(float(slope), 3),
        "low_kib": round(float(low), 3),
        "high_kib": round(float(high), 3),
        "first_mib": round(ends[0], 2),
        "last_mib": round(ends[1], 2),
    }


if __name__ == "__main__":
    main()
