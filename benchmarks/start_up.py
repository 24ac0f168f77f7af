"""How long a command takes to begin.

python -m benchmarks.start_up [--quick] [--repeats 10]

Wall seconds of `ccxr --help` and `ccxr recipes` as processes, and from the command `ccxr run phantom` (images painted
and decoded before) to the first training step: the first row of metrics.jsonl, logged after an epoch of one step.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import record

CCXR = [sys.executable, "-m", "contrastive_cxr"]


def main() -> None:
    """Measure, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    repeats, starts = (3, 1) if options.quick else (options.repeats, max(2, options.repeats // 3))
    figures = []
    for words in (["--help"], ["recipes"]):
        spent = [wall([*CCXR, *words]) for _ in range(repeats + 1)][1:]
        figures.append(record.figure(f"ccxr {' '.join(words)}", spent, "s", wanted="<= 0.4"))
    with tempfile.TemporaryDirectory() as scratch:
        runs = [first_step(Path(scratch), turn) for turn in range(1 + starts)][1:]
    figures.append(record.figure("from command to first training step", runs, "s"))
    record.write(options.result, "start_up", {"question": "Start-up", "words": options.words, "figures": figures})


def wall(command: list[str]) -> float:
    """Wall seconds of a process."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def first_step(scratch: Path, turn: int) -> float:
    """Seconds until the first epoch, of one step, is logged; the run is ended then."""
    out = scratch / f"run-{turn}"
    words = ["data.images=60", "pretrain.epochs=1", "pretrain.batch_size=32", "model.backbone=resnet18", "embed=null"]
    more = ["evaluation.audit=false", "evaluation.baselines=false", "tracking.wandb=off", f"data.cache_dir={scratch}"]
    command = [*CCXR, "run", "phantom", *words, *more, "finetune=null", "--out", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = out / "pretrain" / "metrics.jsonl"
    while not (log.is_file() and log.stat().st_size):
        if process.poll() not in (None, 0):
            raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
        time.sleep(0.005)
    spent = time.perf_counter() - start
    process.terminate()
    process.wait()
    return spent


if __name__ == "__main__":
    main()
