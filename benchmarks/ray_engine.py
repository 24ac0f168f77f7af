"""Encode, index and audit by the workers of a Ray cluster against one process: the same results, and the time of each.

python -m benchmarks.ray_engine [--quick] [--images 20000] [--scratch FOLDER]

Painted phantoms and copies of some of them, through a small network with random weights; each command a process of its
own, Ray started by the command on this machine with two workers. Then an encoding in which the workers of both steps
and the command itself are killed (SIGKILL), and which the same command finishes: every image once, the same vectors.
With `--scratch` what an earlier call did there is not done again, and its times are kept.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import record
from contrastive_cxr import models
from contrastive_cxr.audit import links, spread_links
from contrastive_cxr.data import cache, phantom, sources, survey
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.datasets import look
from contrastive_cxr.distributed import connected
from contrastive_cxr.inference.gallery import index
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import inference_precision
from contrastive_cxr.run.parquet import read_vectors
from contrastive_cxr.spread import Engine

ENGINES = ("embedded", "ray")
WAIT = 3600.0  # seconds for a part to appear
MARK = "CCXR_BENCHMARK"  # a variable in the environment of the processes that this one started


def main() -> None:
    """Make the images, run every command with both engines, compare, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--searched", type=int, default=0, help="phantoms among which copies are looked for; 0: all")
    parser.add_argument("--index", choices=ENGINES, help="make a gallery in --scratch, in this process")
    parser.add_argument("--search", choices=ENGINES, help="look for copies in --scratch, in this process")
    options = parser.parse_args()
    if options.index:
        indexed(options.scratch, options.index)
        return
    if options.search:
        search(options.scratch, options.search, options.searched)
        return
    if options.quick:
        options.images = min(options.images, 300)
    with tempfile.TemporaryDirectory() as temporary:
        place = options.scratch or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        images = painted(place, options.images)
        network(place / "model")
        figures = times(place, images, "encode", options) + killed(place, images, options)
        figures += times(place, images, "index", options)
        figures += times(place, options.searched or images, "search", options) + compared(place)
    what = {
        "question": "Work by Ray",
        "size": {"images": images, "searched": options.searched or images},
        "words": options.words,
    }
    record.write(options.result, "ray_engine", {**what, "figures": figures})


def painted(place: Path, count: int) -> int:
    """`count` phantoms below `place/images`, and a changed copy of every hundredth; how many images there are then."""
    folder = place / "images"
    if not (folder / "labels.csv").is_file():
        phantom.paint(folder, count, 0)
    rows = pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False)
    if len(rows) == count:
        changes: list[Callable[[Any], Any]] = [
            lambda pixels: pixels[:, ::-1], lambda pixels: np.clip(pixels * 1.1 + 5, 0, 255).astype(np.uint8),
            lambda pixels: pixels[4:, :-5],
        ]  # fmt: skip
        copies = rows.iloc[::100].copy()
        for number, file in enumerate(copies["file"]):
            pixels = np.asarray(Image.open(folder / file))
            Image.fromarray(changes[number % 3](pixels)).save(folder / file.replace("images/", "images/copy-"))
        copies["file"] = [file.replace("images/", "images/copy-") for file in copies["file"]]
        rows = pd.concat([rows, copies])
        rows.to_csv(folder / "labels.csv", index=False, lineterminator="\n")
    return len(rows)


def network(folder: Path) -> None:
    """A small network with random weights, as a phase folder."""
    if (folder / "model.json").is_file():
        return
    made = models.build(schema.Model(backbone="timm/test_resnet", image_size=64), mean=0.5, std=0.25, seed=0)
    card = {"classes": [], "decode": {"cache_size": 64}, "channels_last": True, "phase": "embed", "task": "benchmark"}
    weights.save(made, folder, card)


def times(place: Path, images: int, command: str, options: Namespace) -> list[record.Figure]:
    """Seconds and images a second of a command with both engines."""
    figures = []
    for engine in ENGINES:
        spent = timed(place, f"{command}-{engine}", works(place, engine, options.searched)[command], options)
        figures.append(record.figure(f"{command}, {engine}", spent, "s"))
        figures.append(record.figure(f"{command}, {engine}", images / spent, "images/s"))
    return figures


def compared(place: Path) -> list[record.Figure]:
    """How far apart the results of both engines are."""
    apart = [np.abs(vectors(place / "encode-embedded") - vectors(place / "encode-ray")).max()]
    apart += [np.abs(np.subtract(*(np.load(place / f"index-{engine}" / "vectors.npy") for engine in ENGINES))).max()]
    pairs = [dict(np.load(place / f"search-{engine}.npz")) for engine in ENGINES]
    differ = sum(not np.array_equal(pairs[0][name], pairs[1][name]) for name in pairs[0])
    return [
        record.figure("largest difference of a vector's number, encode", float(apart[0]), wanted="<= 0.000001"),
        record.figure("largest difference of a vector's number, index", float(apart[1]), wanted="<= 0.000001"),
        record.figure("pairs of copies found, embedded", len(pairs[0]["first"]), "pairs"),
        record.figure("pairs of copies found, ray", len(pairs[1]["first"]), "pairs"),
        record.figure("columns of the pairs that differ", differ, wanted="<= 0"),
    ]


def works(place: Path, engine: str, searched: int = 0) -> dict[str, list[str]]:
    """The commands' words; both engines compute in float32, as which precision is faster is measured anew each time."""
    model, images, out = str(place / "model"), str(place / "images"), str(place / f"encode-{engine}")
    ours = ["benchmarks.ray_engine", "--scratch", str(place)]
    encode = ["encode", model, images, "--out", out, "--engine", engine, "--precision", "32-true"]
    return {
        "encode": ["contrastive_cxr", "--quiet", *encode],
        "index": [*ours, "--index", engine],
        "search": [*ours, "--search", engine, "--searched", str(searched)],
    }


def indexed(place: Path, engine: str) -> None:
    """`ccxr index`, which has no option for the precision, in float32."""
    inference_precision.WORTH = float("inf")
    index(place / "model", str(place / "images"), place / f"index-{engine}", engine=Engine(engine))


def search(place: Path, engine: str, count: int) -> None:
    """Decode and look for copies, as `ccxr audit` does before its forests; the pairs into a file.

    `count`: of so many phantoms and their copies; 0: of all.
    """
    words = [f"data.cache_dir={place / f'cache-{engine}'}", "data.cache_size=128"]
    data = look.recipe_of([place / "images"], words, None).data
    with nullcontext() if engine == "embedded" else connected(Engine(engine)) as spread:
        rows, _ = sources.rows_of(data)
        rows = first_of(rows, count) if count else rows
        cached = cache.build(rows, data, spread=spread)
        table = survey.table_of(rows, cached)
        given = (cached.images, cached.slots, table)
        found = links.find(*given) if spread is None else spread_links.find(*given, None, spread)
    np.savez(place / f"search-{engine}.npz", **vars(found))


def first_of(rows: Manifest, count: int) -> Manifest:
    """The first phantoms, and those copies that are of them."""
    numbers = rows.rows["path"].str.extract(r"(\d+)\.png$")[0].astype(int)
    return Manifest(rows.rows[(numbers < count).to_numpy()].reset_index(drop=True))


def killed(place: Path, images: int, options: Namespace) -> list[record.Figure]:
    """An encoding whose workers, and then whose command, are killed; the same command then finishes it."""
    out, known = place / "encode-killed", place / "killed.json"
    command = works(place, "ray")["encode"]
    words = [str(out) if word == str(place / "encode-ray") else word for word in command]
    if not known.is_file():
        begun = time.perf_counter()
        process = started(words, options)
        kept = workers = 0
        if wait_for(process, lambda: bool(processes("ray::MapWorker"))):
            for name in ("ray::MapWorker", "ray::Map(prepared)"):
                wait_for(process, lambda name=name: bool(processes(name)))  # type: ignore[misc]
                for number in processes(name)[:1]:
                    os.kill(number, signal.SIGKILL)
                    workers += 1
            wait_for(process, lambda: len(list(out.glob("parts/part-*"))) >= 1)
            kept = len(list(out.glob("parts/part-*")))
            process.kill()
        process.wait()
        again = started(words, options)
        if again.wait():
            sys.exit("the encoding did not go on")
        known.write_text(json.dumps({"kept": kept, "workers": workers, "seconds": time.perf_counter() - begun}))
    facts = json.loads(known.read_text())
    files = [file for part in sorted(out.glob("parts/*.parquet")) for file in pd.read_parquet(part)["file"]]
    apart = float(np.abs(vectors(out) - vectors(place / "encode-embedded")).max())
    return [
        record.figure("killed: workers, then the command", facts["workers"], "workers"),
        record.figure("after that: parts that were kept", facts["kept"], "parts"),
        record.figure("the same: seconds of both commands together", facts["seconds"], "s"),
        record.figure("the same: images lost", images - len(set(files)), "images", wanted="<= 0"),
        record.figure("the same: images twice", len(files) - len(set(files)), "images", wanted="<= 0"),
        record.figure("the same: largest difference of a vector's number", apart, wanted="<= 0.000001"),
    ]


def timed(place: Path, name: str, words: list[str], options: Namespace) -> float:
    """Seconds of a command; of one that an earlier call ran, those of then."""
    known = place / f"{name}.json"
    if not known.is_file():
        begun = time.perf_counter()
        if started(words, options).wait():
            sys.exit(f"failed: {' '.join(words)}")
        known.write_text(json.dumps(time.perf_counter() - begun))
        record.say(f"{name}: {json.loads(known.read_text()):.1f} s")
    return float(json.loads(known.read_text()))


def started(words: list[str], options: Namespace) -> subprocess.Popen[bytes]:
    """A command of this package, with as many threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), MARK: str(os.getpid())}
    return subprocess.Popen([sys.executable, "-m", *words], env=environment)


def wait_for(process: subprocess.Popen[bytes], seen: Callable[[], bool]) -> bool:
    """Whether something was seen while the command ran."""
    until = time.monotonic() + WAIT
    while process.poll() is None and time.monotonic() < until:
        if seen():
            return True
        time.sleep(0.05)
    return False


def processes(name: str) -> list[int]:
    """Numbers of our processes whose title begins so; Ray names its workers after their work."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{MARK}={os.getpid()}\0".encode() in (place / "environ").read_bytes()
            if marked and (place / "cmdline").read_bytes().startswith(name.encode()):
                found.append(int(place.name))
        except OSError:  # it has ended
            continue
    return found


def vectors(folder: Path) -> np.ndarray:
    """All vectors of an encoding, float32 [N, D]."""
    return np.concatenate([read_vectors(part) for part in sorted(folder.glob("parts/*.parquet"))])


if __name__ == "__main__":
    main()
