"""Copies planted among painted phantoms: recall by kind, precision of confirmed pairs, time and memory.

python -m benchmarks.audit                          recall and precision
python -m benchmarks.audit --images 100000 --alone  time and peak anonymous memory at size
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks import record
from contrastive_cxr.audit import links
from contrastive_cxr.audit.groups import numbers
from contrastive_cxr.audit.links import Links
from contrastive_cxr.data import cache, phantom, sources, survey
from contrastive_cxr.recipe.schema import Data
from tests.audit.planted import KINDS

SIDE = 64
AIMS = {"recall": 0.98, "precision": 0.99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="painted phantoms, or pictures at size")
    parser.add_argument("--copies", type=int, default=200, help="copies of each kind")
    parser.add_argument("--alone", action="store_true", help="time and memory of the search alone, on made pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.alone:
        found = at_size(given.images, given.seed)
        record.write(given.out, "audit_at_size", {**found, "question": "Audit at size", "figures": size_figures(found)})
    else:
        found = planted(given.images, given.copies, given.seed)
        words = "Crops of more than about 5 % a side are beyond what the audit promises (docs/reference/audit.md)"
        what = {"question": "Copies that an audit finds", "words": words, "figures": figures(found)}
        record.write(given.out, "audit_planted", {**found, **what})


def figures(found: dict[str, Any]) -> list[record.Figure]:
    """Recall and precision, and recall by kind."""
    lines = [record.figure(f"copies: {name}", found[name], wanted=f">= {aim}") for name, aim in AIMS.items()]
    for kind, share in found["recall_by_kind"].items():
        hit, every = map(int, share.split("/"))
        lines.append(record.figure(f"recall, {kind}", hit / every, wanted=f">= {AIMS['recall']}"))
    return lines


def size_figures(found: dict[str, Any]) -> list[record.Figure]:
    """Time and memory."""
    name = f"{found['images']} pictures"
    return [
        record.figure(f"{name}: CPU time", found["cpu_seconds"], "s"),
        record.figure(f"{name}: peak resident memory", found["peak_resident_mib"], "MiB", "<= 4096"),
        record.figure(f"{name}: recall of mirrored copies", found["recall"]),
    ]


def planted(images: int, copies: int, seed: int) -> dict[str, Any]:
    """Recall of each kind of planted copy, and precision of the confirmed pairs."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        truth = plant(root, images, copies, seed)
        data = Data(source="csv", root=root, cache_size=128, cache_dir=root / "cache")
        manifest = sources.read_data(data)
        cached = cache.build(manifest, data)
        table = survey.table_of(manifest, cached)
        start, cpu = time.perf_counter(), time.process_time()
        found = links.find(cached.images, cached.slots, table)
        spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    return {"phantoms": images, "copies": len(truth), **spent, **judged(table, found, truth)}


def plant(root: Path, images: int, copies: int, seed: int) -> dict[tuple[str, str], str]:
    """Paint phantoms and copies of some; {(original, copy): kind}."""
    phantom.paint(root, images, seed)
    rng = np.random.default_rng(seed)
    rows = pd.read_csv(root / "labels.csv", dtype=str)[["file", "label"]]
    truth, more = {}, []
    for number, (kind, change) in enumerate(KINDS.items()):
        for row in rng.choice(images, copies, replace=False):
            original, name = str(rows["file"][row]), f"images/copy-{number}-{row}.png"
            Image.fromarray(change(np.asarray(Image.open(root / original)), rng)).save(root / name)
            truth[original, name] = kind
            more.append({"file": name, "label": rows["label"][row]})
    pd.concat([rows, pd.DataFrame(more)]).to_csv(root / "labels.csv", index=False)
    return truth


def judged(table: pd.DataFrame, found: Links, truth: dict[tuple[str, str], str]) -> dict[str, Any]:
    """A copy is recalled where it is grouped with its original; a confirmed pair is right where both have one."""
    paths, origin = table["path"].tolist(), {copy: original for original, copy in truth}
    pairs = list(zip(found.first.tolist(), found.second.tolist(), strict=True))
    right = [origin.get(paths[a], paths[a]) == origin.get(paths[b], paths[b]) for a, b in pairs]
    # through right pairs alone: a false one must not lend a copy its original
    kept = np.flatnonzero(right)
    group = dict(zip(paths, numbers(found.first[kept], found.second[kept], len(paths)).tolist(), strict=True))
    all_of = Counter(truth.values())
    hit = Counter(kind for (original, copy), kind in truth.items() if group[original] == group[copy])
    return {
        "recall": sum(hit.values()) / len(truth),
        "precision": sum(right) / max(len(right), 1),
        "confirmed_pairs": len(right),
        "false_pairs": right.count(False),
        "recall_by_kind": {kind: f"{hit[kind]}/{all_of[kind]}" for kind in KINDS},
    }


def at_size(images: int, seed: int) -> dict[str, Any]:
    """Time and peak anonymous memory of finding copies among made pictures, one in a hundred a turned copy."""
    with tempfile.TemporaryDirectory() as name:
        squares, copies = made(Path(name) / "squares.u8", images, seed)
        pads = {f"pad_{side}": 0 for side in ("left", "top", "right", "bottom")}
        facts = pd.DataFrame({"digest": np.arange(images).astype(str), "width": SIDE, "height": SIDE, **pads})
        start, cpu = time.perf_counter(), time.process_time()
        found = links.find(squares, np.arange(images), facts)
        spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    pairs = {(min(a, b), max(a, b)) for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True)}
    return {
        "images": images,
        **spent,
        "peak_resident_mib": status("VmHWM"),
        "anonymous_mib_at_end": status("RssAnon"),
        "recall": len(pairs & copies) / len(copies),
        "false_pairs": len(pairs - copies),
    }


def made(path: Path, images: int, seed: int) -> tuple[NDArray[np.uint8], set[tuple[int, int]]]:
    """A memory map of smooth noise on one coarse shape, uint8 [N, 1, 64, 64]; each hundredth mirrors the former."""
    rng = np.random.default_rng(seed)
    squares = np.memmap(path, dtype=np.uint8, mode="w+", shape=(images, 1, SIDE, SIDE))
    shape = 60 * np.hanning(SIDE)[:, None] * np.hanning(SIDE)
    copies = set()
    for start in range(0, images, 1000):
        count = min(1000, images - start)
        noise = gaussian_filter(rng.standard_normal((count, SIDE, SIDE), dtype=np.float32), (0, 2, 2))
        squares[start : start + count, 0] = np.clip(90 + shape + 25 * noise / noise.std(), 0, 255)
    for row in range(99, images, 100):
        squares[row] = squares[row - 1][:, :, ::-1]
        copies.add((row - 1, row))
    squares.flush()
    return squares, copies


def status(name: str) -> float | None:
    """A line of the process's memory in MiB, where the system tells it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), None)


if __name__ == "__main__":
    main()
