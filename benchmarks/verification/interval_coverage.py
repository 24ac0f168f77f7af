"""How often a 95 % interval holds the truth, over simulated data sets whose truth is known.

    python -m benchmarks.verification.interval_coverage [--sets 2000] [--resamples 200] [--work runs/interval_coverage]

A population of patients is made up: a class each, one to eight images, two classifiers' scores that share a patient's
own shift, and vectors for the k-NN vote. Its scores are known from a million images. Data sets of 25, 118 and 600
images are drawn from it, with patients (whole ones) and without, scored by the functions that a report uses, and the
intervals that hold the truth are counted. Ends of a hundred data sets are kept in `--work`, so an interrupted
measurement goes on. 200 resamples instead of a report's 2000 make the standard error of an interval 5 % uncertain,
which costs about half a point of coverage.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from contrastive_cxr.metrics import neighbours, scores
from contrastive_cxr.metrics.statistics import weighted
from contrastive_cxr.run import folder

Floats = NDArray[np.float64]
SIZES = (25, 118, 600)
CHUNK = 100
SHARE_POSITIVE = 0.4
SHARED = 0.5  # of a score's variance, between the images of a patient
SKILL = (1.6, 1.2)  # distance of the classes in standard deviations: of the scored and of the other classifier
AGREEMENT = 0.6  # correlation of the two classifiers' scores within a class
CLASSES = ("no", "yes")
PAIRED = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
NEAREST = ("knn_accuracy", "recall_at_1", "map_at_r")
TRUTH_IMAGES = 1_000_000
TRUTH_QUERIES = 200_000


@dataclass(frozen=True)
class Drawn:
    """A data set: labels and patients int64 [N], probabilities float64 [N, 2] of two classifiers, vectors [N, 3]."""

    labels: NDArray[np.int64]
    patients: NDArray[np.int64]
    first: Floats
    second: Floats
    vectors: NDArray[np.float32]


def draw(generator: np.random.Generator, n: int, clustered: bool) -> Drawn:
    """`n` images of the population; of patients with one to eight images, or of as many patients as images."""
    sizes = np.minimum(generator.geometric(0.4, n), 8) if clustered else np.ones(n, dtype=np.int64)
    patients = np.repeat(np.arange(n), sizes)[:n]
    labels = (generator.random(n) < SHARE_POSITIVE).astype(np.int64)[patients]
    root = np.linalg.cholesky(np.array([[1.0, AGREEMENT], [AGREEMENT, 1.0]]))
    own, shift = generator.normal(size=(n, 2)) @ root.T, generator.normal(size=(n, 2)) @ root.T
    noise = np.sqrt(SHARED) * shift[patients] + np.sqrt(1 - SHARED) * own
    raw = noise + np.outer(labels - 0.5, SKILL)
    vectors = np.column_stack([raw, generator.normal(size=n)]).astype(np.float32)
    first, second = (probability(raw[:, column]) for column in (0, 1))
    return Drawn(labels, patients, first, second, vectors)


def probability(raw: Floats) -> Floats:
    """Probabilities float64 [N, 2] of a score."""
    positive = 1 / (1 + np.exp(-1.5 * raw))
    return np.column_stack([1 - positive, positive])


def gallery() -> Drawn:
    """The training images of the k-NN vote, the same for every data set."""
    return draw(np.random.default_rng(77), 100, False)


def truth(clustered: bool) -> dict[str, float]:
    """The population's scores."""
    drawn = draw(np.random.default_rng(99), TRUTH_IMAGES, clustered)
    first, second = (
        {
            name: values[0]
            for name, values in weighted.statistics(each, drawn.labels, np.ones((1, TRUTH_IMAGES))).items()
        }
        for each in (drawn.first, drawn.second)
    )
    known = gallery()
    part = slice(0, TRUTH_QUERIES)
    near = neighbours.scores(known.vectors, known.labels, drawn.vectors[part], drawn.labels[part], classes=2).values
    return {
        **{name: float(first[name]) for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc", "brier")},
        "recall": float(first["recall"][1]),
        "specificity": float(first["recall"][0]),
        "precision": float(first["precision"][1]),
        "f1": float(first["f1"][1]),
        "average_precision": float(first["class_average_precision"][1]),
        **{name: near[name]["value"] for name in NEAREST},
        **{f"paired_{name}": float(first[name] - second[name]) for name in PAIRED},
    }


def ends(drawn: Drawn, known: Drawn, resamples: int, seed: int) -> dict[str, tuple[float | None, float | None]]:
    """The intervals of a data set, (None, None) where there is none."""
    options: dict[str, Any] = {"resamples": resamples, "seed": seed}
    found = scores.classification(drawn.first, drawn.labels, CLASSES, 1, drawn.patients, **options)["scores"]
    near = neighbours.scores(known.vectors, known.labels, drawn.vectors, drawn.labels, classes=2)
    voted = near.with_intervals(drawn.patients, **options)
    both = scores.paired(drawn.first, drawn.second, drawn.labels, drawn.patients, PAIRED, **options)
    entries = {**found, **{name: voted[name] for name in NEAREST}, **{f"paired_{n}": both[n] for n in PAIRED}}
    return {name: (entry["low"], entry["high"]) for name, entry in entries.items()}


def chunks(n: int, clustered: bool, sets: int, resamples: int, work: Path) -> Iterator[dict[str, list[Any]]]:
    """{score: ends of each data set} of a hundred data sets at a time, from `work` where they are there."""
    known = gallery()
    for start in range(0, sets, CHUNK):
        path = work / f"{n}-{'patients' if clustered else 'images'}-{resamples}-{start}.json"
        if not path.is_file():
            rows = []
            for number in range(start, min(start + CHUNK, sets)):
                generator = np.random.default_rng([n, clustered, number])
                rows.append(ends(draw(generator, n, clustered), known, resamples, seed=number))
            folder.write_json(path, {name: [row[name] for row in rows] for name in rows[0]})
        yield json.loads(path.read_text(encoding="utf-8"))


def coverage(found: list[tuple[float | None, float | None]], value: float) -> dict[str, float | int | None]:
    """Share of the intervals that hold `value`, the shares that lie below and above it, and their mean width."""
    there = np.array([pair for pair in found if None not in pair and np.isfinite(pair).all()], dtype=float).reshape(
        -1, 2
    )
    low, high = there[:, 0], there[:, 1]
    n = len(there)
    return {
        "coverage": round(float(((low <= value) & (value <= high)).mean()), 4) if n else None,
        "below": round(float((high < value).mean()), 4) if n else None,
        "above": round(float((low > value).mean()), 4) if n else None,
        "width": round(float((high - low).mean()), 4) if n else None,
        "intervals": n,
        "without_interval": len(found) - n,
    }


def measure(sets: int, resamples: int, work: Path) -> list[dict[str, Any]]:
    """A line a cell: size, patients or not, truth, and the coverage of each score's interval."""
    lines = []
    for clustered in (False, True):
        values = truth(clustered)
        for n in SIZES:
            started = time.perf_counter()
            found: dict[str, list[Any]] = {}
            for chunk in chunks(n, clustered, sets, resamples, work):
                for name, pairs in chunk.items():
                    found.setdefault(name, []).extend(pairs)
            cell = {name: {"truth": round(values[name], 4), **coverage(found[name], values[name])} for name in values}
            lines.append({"images": n, "patients": clustered, "groups_mean": groups_mean(n, clustered), "scores": cell})
            record.say(f"n={n} patients={clustered}: {time.perf_counter() - started:.0f} s")
            record.say(" ".join(f"{name} {each['coverage']}" for name, each in cell.items()))
    return lines


def groups_mean(n: int, clustered: bool) -> float:
    """Mean number of patients in a data set of `n` images, over a hundred."""
    drawn = (draw(np.random.default_rng([n, clustered, number]), n, clustered) for number in range(100))
    return round(float(np.mean([len(np.unique(each.patients)) for each in drawn])), 1)


def main() -> None:
    """Measure, and write `benchmarks/results/interval_coverage.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="simulated data sets of each size")
    parser.add_argument("--resamples", type=int, default=200, help="bootstrap resamples of each")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/interval_coverage"), help="where finished parts are kept"
    )
    parser.add_argument("--out", type=Path, help="the result file")
    words = parser.parse_args()
    words.work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    cells = measure(words.sets, words.resamples, words.work)
    record.write(
        words.out,
        "interval_coverage",
        {
            "what": "share of 95 % intervals that hold the population's value",
            "sets": words.sets,
            "resamples": words.resamples,
            "minutes_of_the_last_call": round((time.perf_counter() - started) / 60, 1),
            "standard_error_of_a_coverage_of_0.95": round(float(np.sqrt(0.95 * 0.05 / words.sets)), 4),
            "population": {"share_positive": SHARE_POSITIVE, "skill": SKILL, "shared_variance": SHARED,
                           "agreement": AGREEMENT, "images_a_patient": "geometric(0.4), at most 8"},
            "cells": cells,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
