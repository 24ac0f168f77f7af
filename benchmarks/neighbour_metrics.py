"""R-precision and MAP@R of large embeddings: time and memory, beside pytorch-metric-learning's AccuracyCalculator.

python -m benchmarks.neighbour_metrics [--rows 20000 100000] [--against 20000] [--repeats 3] [--threads 1]

Made vectors of 512 numbers in 3 classes, a cloud of 40 clusters a class. Every measurement is a process of its own,
ours and theirs in turn, so that neither inherits the other's memory or warm caches. Wall time and CPU time are both
written: on a machine with other work the second is the steadier. Memory is the peak of anonymous memory (RssAnon),
sampled every 20 ms, and what it was before the call (interpreter, libraries, the vectors themselves).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import record, timing

WIDTH, CLASSES, CLUSTERS = 512, 3, 40
NAMES = {"map_at_r": "mean_average_precision_at_r", "r_precision": "r_precision"}


def main() -> None:
    """Measure, write `benchmarks/results/neighbour_metrics.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--against", type=int, nargs="*", default=[20_000], help="sizes the other library does too")
    parser.add_argument("--repeats", type=int, default=3, help="of the sizes below 50,000")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--one", choices=("ours", "theirs"), help="one measurement, printed as JSON")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    if options.one:
        sys.stdout.write(json.dumps(measured(options.one, options.rows[0])) + "\n")
        return
    found: dict[str, Any] = {}
    for rows in options.rows:
        repeats = options.repeats if rows < 50_000 else 1
        turns = ["ours", *(["theirs"] if rows in options.against else [])] * repeats
        each = [
            (who, timing.in_process("neighbour_metrics", ["--one", who, "--rows", str(rows)], options.threads))
            for who in turns
        ]
        found[str(rows)] = summary(each)
    what = {"width": WIDTH, "classes": CLASSES, "clusters_a_class": CLUSTERS, "threads": options.threads}
    record.write(options.result, "neighbour_metrics", {**what, "rows": found, "figures": figures(found)})


def figures(found: dict[str, Any]) -> list[record.Figure]:
    """CPU time of both sides and memory of ours, by size."""
    lines = []
    for rows, sides in found.items():
        ours = sides["ours"]
        if "theirs" in sides:
            faster = timing.ratios(sides["theirs"]["cpu_seconds"]["all"], ours["cpu_seconds"]["all"])
            lines.append(record.figure(f"{rows} vectors: times faster by CPU time", faster, wanted=">= 8"))
            apart = sides["largest_difference"]
            lines.append(record.figure(f"{rows} vectors: largest difference", apart, wanted="<= 0.00001"))
        lines.append(record.figure(f"{rows} vectors: CPU time", ours["cpu_seconds"]["all"], "s"))
        grown = ours["peak_anonymous_mib"] - ours["before_mib"]
        lines.append(record.figure(f"{rows} vectors: memory beside the vectors", grown, "MiB", "<= 2048"))
    return lines


def summary(each: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Median and spread of each side, their ratio, and by how much the values differ."""
    sides: dict[str, Any] = {}
    for who in dict(each):
        runs = [run for name, run in each if name == who]
        sides[who] = {
            "values": runs[0]["values"],
            "peak_anonymous_mib": max(run["peak_mib"] for run in runs),
            "before_mib": max(run["before_mib"] for run in runs),
            **{
                clock: {"median": statistics.median(run[clock] for run in runs), "all": [run[clock] for run in runs]}
                for clock in ("seconds", "cpu_seconds")
            },
        }
    if "theirs" in sides:
        ours, theirs = sides["ours"], sides["theirs"]
        sides["times_faster"] = {
            clock: theirs[clock]["median"] / ours[clock]["median"] for clock in ("seconds", "cpu_seconds")
        }
        sides["largest_difference"] = max(abs(ours["values"][name] - theirs["values"][name]) for name in NAMES)
    return sides


def made(rows: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors float32 [rows, 512] and their class: clusters of a class lie together, classes overlap."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, rows)
    classes = rng.normal(size=(CLASSES, WIDTH))
    centres = 0.6 * classes[:, None] + rng.normal(size=(CLASSES, CLUSTERS, WIDTH))
    vectors = np.empty((rows, WIDTH), np.float32)
    for first in range(0, rows, 10_000):
        part = labels[first : first + 10_000]
        drawn = centres[part, rng.integers(0, CLUSTERS, len(part))] + 1.5 * rng.normal(size=(len(part), WIDTH))
        vectors[first : first + 10_000] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return vectors, labels


def measured(who: str, rows: int) -> dict[str, Any]:
    """Time, CPU time, peak anonymous memory and values of one side on `rows` vectors."""
    call = ours if who == "ours" else theirs
    call(*made(500))  # libraries are loaded and threads started before the clock runs
    vectors, labels = made(rows)
    before = timing.memory()
    with timing.Peak() as peak:
        start, cpu = time.perf_counter(), time.process_time()
        values = call(vectors, labels)
        seconds, spent = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu_seconds": spent, "peak_mib": peak.most, "before_mib": before, "values": values}


def ours(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """By `metrics.neighbours`, which also gives recall, precision and the vote."""
    from contrastive_cxr.metrics import neighbours

    ids = np.arange(len(vectors))
    found = neighbours.scores(vectors, labels, vectors, labels, gallery_ids=ids, query_ids=ids)
    return {name: found.values[name]["value"] for name in NAMES}


def theirs(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """By pytorch-metric-learning, the two values alone."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    calculator = AccuracyCalculator(include=tuple(NAMES.values()), k="max_bin_count", device=torch.device("cpu"))
    found = calculator.get_accuracy(torch.from_numpy(vectors), torch.from_numpy(labels))
    return {name: float(found[other]) for name, other in NAMES.items()}


if __name__ == "__main__":
    main()
