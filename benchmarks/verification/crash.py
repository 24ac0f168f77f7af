"""200 kills at random moments, each resumed, and every life compared with one that was left alone.

    OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 python -m benchmarks.verification.crash --kills 200

A life is a run of three phases on painted phantoms, an evaluation, a gallery and an encoding (tests/crash/life.py),
killed a few times (SIGKILL) and given the same commands again until they end. Lost: a command did not end, or ended
with an error. Different: a file of it is not what the life left alone has (tests/crash/same.py). Most sittings are
forks of this process, which has everything imported; every `--fresh`-th life has processes of its own.

The counts are written after every life; the same command goes on with the next life until there are enough kills.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from contrastive_cxr.cli import main as ccxr
from tests.crash.life import alone, commands, drawn, left_alone, lived
from tests.crash.moments import POINTS
from tests.crash.same import differences
from tests.crash.sitting import Ended, forked, fresh

RESULT = Path(__file__).parents[1] / "results" / "crash.json"
EACH = 8
"""Kills planned a life; some may come too late."""
ALLOCATOR = "jemalloc_bg_thd"
"""The thread of pyarrow's allocator, which ends itself before a fork and begins anew in the child."""


def main() -> None:
    """Live until there are enough kills."""
    parser = argparse.ArgumentParser(description="Kill and resume.")
    parser.add_argument("--kills", type=int, default=200, help="how many, those of earlier calls included")
    parser.add_argument("--fresh", type=int, default=10, help="every so many lives one in processes of its own")
    parser.add_argument("--place", type=Path, default=Path("crash-lives"), help="folder to live in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    words = parser.parse_args()
    counts = known(words.out, words.seed)
    place = words.place.resolve() / "life"
    for each in (place, alone(place), place.with_name("warm")):
        shutil.rmtree(each, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    warm(place.with_name("warm"))
    seen = left_alone(place, commands(place))
    while counts["kills"] < words.kills and not (counts["lost"] or counts["different"]):
        begun = time.monotonic()
        live(place, seen, counts, words)
        counts["seconds"] = round(counts["seconds"] + time.monotonic() - begun, 1)
        record.write(words.out, "crash", {**asked(counts), **counts})
    sys.exit(1 if counts["lost"] or counts["different"] else 0)


def asked(counts: dict[str, Any]) -> dict[str, Any]:
    """The question, and the figures that answer it."""
    aims = {"kills": ">= 200", "lost": "<= 0", "different": "<= 0"}
    return {
        "question": "Does a command that is killed at a random moment and given again end as one left alone?",
        "figures": [record.figure(name, counts[name], wanted=aim) for name, aim in aims.items()],
    }


def known(path: Path, seed: int) -> dict[str, Any]:
    """The counts so far, or zeros."""
    fields = ("seed", "kills", "lost", "different", "came_too_late", "lives", "seconds")
    more = ("kills_by_moment", "kills_by_command", "kills_at_a_point", "kills_by_process", "found")
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["seed"] == seed:
            return {name: found[name] for name in (*fields, *more)}
    return {**dict.fromkeys(fields, 0), "seed": seed, **{name: {} for name in more[:-1]}, "found": []}


def warm(place: Path) -> None:
    """Run once in this process, for everything that is imported or made when it is first wanted."""
    own = sys.argv
    for words in commands(place).values():
        sys.argv = ["ccxr", *words]
        try:
            ccxr()
        except SystemExit as left:
            if left.code:
                raise
    sys.argv = own
    threads = [(Path("/proc/self/task") / each / "comm").read_text().strip() for each in os.listdir("/proc/self/task")]
    threads = [each for each in threads if each != ALLOCATOR]
    if len(threads) > 1:
        raise SystemExit(f"{threads}: a process with threads cannot be forked; set OMP_NUM_THREADS=1")


def live(place: Path, seen: dict[str, Ended], counts: dict[str, Any], words: argparse.Namespace) -> None:
    """One life, and what is counted of it."""
    rng = np.random.default_rng([words.seed, counts["lives"]])
    counts["lives"] += 1
    own = counts["lives"] % words.fresh == 0
    life = lived(place, commands(place), drawn(seen, EACH, rng), fresh if own else forked)
    unlike = [] if life.lost else differences(alone(place), place)
    counts["kills"] += len(life.kills)
    counts["came_too_late"] += life.missed
    counts["lost"] += len(life.lost)
    counts["different"] += bool(unlike)
    if life.lost or unlike:
        counts["found"].append({"life": counts["lives"], "kills": [str(each) for each in life.kills],
                                "lost": life.lost, "different": unlike})  # fmt: skip
    for kill in life.kills:
        point = "at a point" if kill.plan.moment in POINTS else "inside a call"
        for name, key in (("moment", kill.plan.moment), ("command", kill.command)):
            tally = counts[f"kills_by_{name}"]
            tally[key] = tally.get(key, 0) + 1
        counts["kills_at_a_point"][point] = counts["kills_at_a_point"].get(point, 0) + 1
    process = "new" if own else "forked"
    counts["kills_by_process"][process] = counts["kills_by_process"].get(process, 0) + len(life.kills)


if __name__ == "__main__":
    main()
