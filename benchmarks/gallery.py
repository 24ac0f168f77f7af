"""Galleries of many vectors: build, save, load, search, recall and memory of each kind of index.

python -m benchmarks.gallery [--rows 1000000] [--kinds exact ivf ivf-pq hnsw] [--threads 1] [--scratch FOLDER]

Made vectors of 512 numbers: 2,000 clusters in 3 classes, within a cluster 24 dimensions of variation and a little noise
in all. Queries are drawn anew from the same clusters. Building, and loading and searching, are each a process of its
own. Search is measured in turn with bare FAISS on the same index with the same settings; for ivf-pq that is FAISS's own
IndexRefineFlat, as the gallery ranks by true distances too. Wall and CPU time are both written: on a machine with other
work the second is the steadier. A kind that is done is not done again: its result lies in the scratch folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTH, CLUSTERS, INSIDE, K, QUERIES, REPEATS = 512, 2000, 24, 10, 500, 15
Vectors = NDArray[np.float32]


def main() -> None:
    """Measure each kind, write `benchmarks/results/gallery.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["exact", "ivf", "ivf-pq", "hnsw"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scratch", type=Path, default=Path("runs/gallery-benchmark"))
    parser.add_argument("--step", choices=("build", "use"), help="one measurement, printed as JSON")
    parser.add_argument("--result", type=Path)
    parser.add_argument("--words", default="", help="a remark for the file")
    options = parser.parse_args()
    if options.step:
        step = build if options.step == "build" else use
        sys.stdout.write(json.dumps(step(options.scratch, options.rows, options.kinds[0])) + "\n")
        return
    options.scratch.mkdir(parents=True, exist_ok=True)
    if not (options.scratch / "vectors.npy").is_file():
        write_vectors(options.scratch, options.rows)
    kinds = {kind: measured(options.scratch, options.rows, kind, options.threads) for kind in options.kinds}
    from benchmarks import record  # torch, which the measured processes do without

    what: dict[str, Any] = {"question": "A gallery of many vectors, search against bare FAISS", "words": options.words}
    what |= {"rows": options.rows, "width": WIDTH, "clusters": CLUSTERS, "queries": QUERIES, "k": K}
    lines = [line for kind, steps in kinds.items() for line in figures(kind, steps, record.figure)]
    record.write(options.result, "gallery", {**what, "threads": options.threads, "figures": lines, "kinds": kinds})


def figures(kind: str, steps: dict[str, Any], figure: Callable[..., Any]) -> list[Any]:
    """Search beside bare FAISS, recall, times and memory of one kind."""
    built, used = steps["build"], steps["use"]
    turns = used["search"]["turns"]
    pairs = zip(turns["ours"], turns["faiss"], strict=True)
    ratios = [ours["cpu_seconds"] / bare["cpu_seconds"] for ours, bare in pairs]
    return [
        figure(f"{kind}: search, CPU time over bare FAISS's", ratios, wanted="<= 1.05"),
        figure(f"{kind}: recall of the {K} nearest", used["recall_at_10"]),
        figure(f"{kind}: CPU time a query, {QUERIES} at once", used["milliseconds_a_query"], "ms"),
        figure(f"{kind}: build, with the choice of its effort, CPU time", built["build"]["cpu_seconds"], "s"),
        figure(f"{kind}: load", used["load"]["seconds"], "s"),
        figure(f"{kind}: anonymous memory once loaded", used["memory"]["loaded"]["anonymous_mib"], "MiB"),
    ]


def measured(scratch: Path, rows: int, kind: str, threads: int) -> dict[str, Any]:
    """Both steps of one kind, each in a process of its own; the gallery itself is removed afterwards."""
    done = scratch / f"{kind}.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    found = {step: in_process(step, scratch, rows, kind, threads) for step in ("build", "use")}
    done.write_text(json.dumps(found, indent=2))
    shutil.rmtree(scratch / kind)
    return found


def in_process(step: str, scratch: Path, rows: int, kind: str, threads: int) -> dict[str, Any]:
    """One step in a process of its own."""
    words = ["-m", "benchmarks.gallery", "--step", step, "--kinds", kind, "--rows", str(rows)]
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, *words, "--scratch", str(scratch)],
        env=os.environ | limits, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(f"{kind} {step}: {answer}\n")
    return answer


def write_vectors(scratch: Path, rows: int) -> None:
    """`vectors.npy` [rows, 512] and `queries.npy` [500, 512], unit length, of the same clusters."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, WIDTH)).astype(np.float32)
    ways = rng.normal(size=(CLUSTERS // 20, INSIDE, WIDTH)).astype(np.float32) / np.sqrt(INSIDE)
    for name, count in (("queries", QUERIES), ("vectors", rows)):
        out = np.lib.format.open_memmap(scratch / f"{name}.npy", "w+", np.float32, (count, WIDTH))
        for first in range(0, count, 20_000):
            out[first : first + 20_000] = drawn(rng, centres, ways, min(20_000, count - first))
        out.flush()


def drawn(rng: np.random.Generator, centres: Vectors, ways: Vectors, count: int) -> Vectors:
    """`count` unit vectors in random order: a centre, a step along the ways of its family, a little noise."""
    family = rng.integers(0, len(ways), count)
    steps = rng.normal(size=(count, INSIDE)).astype(np.float32)
    vectors = centres[family * 20 + rng.integers(0, 20, count)]
    for number in range(len(ways)):
        of = family == number
        vectors[of] += 1.2 * steps[of] @ ways[number]
    vectors += 0.2 * rng.normal(size=vectors.shape).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Wall and CPU seconds of a call, and what it gave."""
    start, cpu = time.perf_counter(), time.process_time()
    value = work()
    return {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}, value


def memory() -> dict[str, float]:
    """This process's anonymous and file-backed memory now, and its peak of both, MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"anonymous_mib": "RssAnon", "mapped_mib": "RssFile", "peak_mib": "VmHWM"}
    return {name: int(lines[word].split()[0]) / 1024 for name, word in names.items()}


def build(scratch: Path, rows: int, kind: str) -> dict[str, Any]:
    """Build and save."""
    import pandas as pd

    from contrastive_cxr import Gallery

    vectors = np.load(scratch / "vectors.npy", mmap_mode="r")
    numbers = pd.Series(np.arange(rows))
    table = pd.DataFrame(
        {
            "label": np.array(["normal", "covid", "other"], dtype=object)[np.arange(rows) % 3],
            "patient": "P" + (numbers // 4).astype(str),
            "path": "images/" + numbers.astype(str) + ".png",
            "split": "train",
        }
    )
    building, gallery = timed(lambda: Gallery.build(vectors, table, "a" * 64, kind=kind))
    after = memory()
    saving, _ = timed(lambda: gallery.save(scratch / kind))
    sizes = {path.name: round(path.stat().st_size / 2**20, 1) for path in sorted((scratch / kind).iterdir())}
    recall = None if gallery.recall is None else gallery.recall.model_dump()
    told = {"effort": gallery.index.effort, "recall_at_build": recall, "files_mib": sizes, "memory": after}
    return {"build": building, "save": saving, **told}


def use(scratch: Path, rows: int, kind: str) -> dict[str, Any]:
    """Load, and search in turn with bare FAISS."""
    del rows
    import faiss

    from contrastive_cxr import Gallery

    queries = np.load(scratch / "queries.npy")
    before = memory()
    loading, gallery = timed(lambda: Gallery.load(scratch / kind))
    first, _ = timed(lambda: gallery.search(queries[:1], K))
    loaded = memory()
    bare = bare_search(gallery, queries)
    gallery.search(queries[:50], K)
    if kind != "exact":
        bare()  # the lists come into memory
    turns: dict[str, list[dict[str, float]]] = {"ours": [], "faiss": []}
    for _ in range(REPEATS if kind != "exact" else 3):
        turns["ours"].append(timed(lambda: gallery.search(queries, K))[0])
        turns["faiss"].append(timed(bare)[0])
    single = [timed(lambda one=one: gallery.search(one, K))[0]["cpu_seconds"] for one in queries[:20]]
    _, truth = faiss.knn(queries, gallery.vectors, K, faiss.METRIC_INNER_PRODUCT)
    found = np.asarray(gallery.search(queries, K).positions)
    hits = [len(set(row) & set(true)) for row, true in zip(found.tolist(), truth.tolist(), strict=True)]
    clocks = ("seconds", "cpu_seconds")
    medians = {who: {c: statistics.median(t[c] for t in all_) for c in clocks} for who, all_ in turns.items()}
    return {
        "load": loading,
        "first_search_reads_rows": first,
        "memory": {"before": before, "loaded": loaded, "peak_mib": memory()["peak_mib"]},
        "search": {"turns": turns, "median": medians},
        "times_bare_faiss": {clock: medians["ours"][clock] / medians["faiss"][clock] for clock in clocks},
        "milliseconds_a_query": 1000 * medians["ours"]["cpu_seconds"] / len(queries),
        "milliseconds_a_single_query": 1000 * statistics.median(single),
        "recall_at_10": float(np.mean(hits)) / K,
    }


def bare_search(gallery: Any, queries: Vectors) -> Callable[[], Any]:
    """FAISS alone, at the gallery's settings."""
    import faiss

    index, kind, effort = gallery.index.faiss_index, gallery.about.kind, gallery.index.effort
    if kind == "exact":
        return lambda: faiss.knn(queries, gallery.vectors, K, faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        settings = faiss.SearchParametersHNSW(efSearch=effort)
        return lambda: index.search(queries, K, params=settings)
    settings = faiss.SearchParametersIVF(nprobe=effort)
    if kind == "ivf":
        return lambda: index.search(queries, K, params=settings)
    refined = faiss.IndexRefineFlat(index, faiss.swig_ptr(gallery.vectors))
    both = faiss.IndexRefineSearchParameters(k_factor=10, base_index_params=settings)
    return lambda: refined.search(queries, K, params=both)


if __name__ == "__main__":
    main()
