"""Every benchmark of speed, one after the other, each a process of its own.

python -m benchmarks.every [--quick] [--data FOLDER] [--threads N] [--only NAME ...]

With --quick each at a small size, in minutes, its results in runs/bench-quick; without, at full size (hours on two
cores), its results in benchmarks/results. FOLDER holds the X-rays of xray/three-class-scratch: without it what needs
real images is asked of phantoms, or left out at full size. Ends with exit code 1 where one failed; the others are run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

from benchmarks import page, record

QUICK = Path("runs/bench-quick")
BENCHMARKS: dict[str, list[str]] = {
    "start_up": ["--quick"],
    "end_to_end": ["--quick"],
    "step_parts": ["--quick"],
    "allocator": ["--quick"],
    "frozen": ["--quick"],
    "mining": ["--quick"],
    "encoding": ["--quick"],
    "folding": ["--quick"],
    "cache": ["--quick"],
    "against_plain": ["--quick"],
    "time_to_result": ["--quick", "--scratch", str(QUICK / "time-to-result")],
    "scoring": ["--quick", "--scratch", str(QUICK / "scoring")],
    "two_processes": ["--quick"],
    "neighbour_metrics": ["--rows", "2000", "--against", "2000", "--repeats", "1"],
    "serve": ["--quick", "--minutes", "0.3", "--in-flight", "20"],
    "report_page": ["--quick", "--rows", "500"],
    "explore": ["--quick", "--rows", "5000", "--gallery", "2000"],
    "scale_out": ["--quick"],
    "ray_engine": ["--quick"],
    "gallery": ["--rows", "2000", "--kinds", "ivf", "--scratch", str(QUICK / "gallery")],
    "stores": ["--quick", "--scratch", str(QUICK / "stores")],
}
"""Name and the words of its quick size."""
REAL = ("against_plain", "time_to_result", "scoring")
"""What real images belong to."""


def main() -> None:
    """Run them, say how each ended, make the page anew."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    options = parser.parse_args()
    failed = []
    for name in options.only:
        if name == "time_to_result" and not (options.quick or options.data):
            record.say(f"{name}: left out, it needs --data")
            continue
        if options.quick:  # what an earlier call kept to go on from
            shutil.rmtree(QUICK / name.replace("_", "-"), ignore_errors=True)
        begun = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", *words(name, options)]
        code = subprocess.run(command, check=False).returncode
        ended = "done" if code == 0 else f"FAILED with exit code {code}"
        record.say(f"{name}: {ended}, {time.monotonic() - begun:.0f} s")
        failed += [name] if code else []
    if not options.quick:
        page.main()
    if failed:
        record.say(f"failed: {', '.join(failed)}")
        sys.exit(1)


def words(name: str, options: Namespace) -> list[str]:
    """The command line of one benchmark."""
    chosen = ["--threads", str(options.threads)]
    if options.quick:
        return [*chosen, *BENCHMARKS[name], "--result", str(QUICK / f"{name}.json")]
    data = options.data
    return [*chosen, "--data", str(data)] if data and name in REAL else chosen


if __name__ == "__main__":
    main()
