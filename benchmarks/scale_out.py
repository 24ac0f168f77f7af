"""Encoding, hashing and training past one machine: costs of an image measured here, 1 to 64 workers simulated.

python -m benchmarks.scale_out [--quick] [--data FOLDER]

Measured on one core, in seconds of CPU time, so that other work on the machine does not count: reading a file from the
page cache, decoding it to a square, hashing, the forward pass of DenseNet-169, writing vectors, packing squares into
shards, reading them back through the shuffle buffer, and from the memory map. FOLDER: real pictures for the squares
that are packed (their size when compressed), by default phantoms. The GPU's rate is the one in step_parts_gpu.json.
Assumed, not measured: the stores, the worker's cores and network, and what goes wrong (`STORES`, `Worker`, `Troubles`).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import record, timing
from benchmarks.worker_simulation import Job, Store, Troubles, Worker, simulate
from contrastive_cxr import models
from contrastive_cxr.audit import hashes
from contrastive_cxr.data import phantom
from contrastive_cxr.data.decoding.decode import decode, fit_square
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.shards import order, parquet_files
from contrastive_cxr.data.shards.description import Description, Shard
from contrastive_cxr.data.shards.store import ShardStore
from contrastive_cxr.data.shards.stream import Stream
from contrastive_cxr.recipe.schema import Data, Model
from contrastive_cxr.run import parquet

Costs = dict[str, float]
SIDE, FILE_SIDE, GROUP, SHARD, VECTOR = 256, 1024, 64, 1024, 512
PART, STEP = 4096, 64
EPOCH = "an epoch, a GPU each, from a "
CALM = Troubles(spread=0.0, slow_share=0.0, hours_between_failures=0.0)
WORKERS = (1, 2, 4, 8, 16, 32, 64)
IMAGES = (1e6, 1e7, 1e8, 1e9)
STORES = {
    "object store": Store(latency=0.03, requests=50_000, bytes=25e9),
    "network disk": Store(latency=0.002, requests=20_000, bytes=1.25e9),
}
"""Assumed: an object store with ten prefixes of 5,000 requests a second; a file server behind 10 Gbit/s."""
DRIVER = 0.01
"""Assumed: seconds that one driver spends on each part of 4,096 images."""


def main() -> None:
    """Measure, simulate, write."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, help="folder of real pictures, whose squares are packed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    few = 16 if options.quick else 1
    with tempfile.TemporaryDirectory() as scratch:
        costs = of_files(Path(scratch), 64 // min(few, 8)) | of_network(2 if options.quick else 8, SIDE // few)
        costs |= of_vectors(PART // few)
        squares = pictures(options.data, 4096 // few, Path(scratch))
        costs |= of_shards(Path(scratch), squares, max(256, 2048 // few))
    costs["GPU: forward pass"], costs["GPU: training step"] = of_gpu()
    sizes = (IMAGES[:1], (1, 8)) if options.quick else (IMAGES, WORKERS)
    figures = [record.figure(name, value, UNITS.get(name, "s/image")) for name, value in costs.items()]
    what = {"question": "What bounds 1 to 64 workers at 1e6 to 1e9 images", "words": options.words}
    assumed = {"stores": {name: vars(each) for name, each in STORES.items()}, "driver": DRIVER}
    assumed |= {"troubles": vars(Troubles()), "cores": 16, "part": PART}
    table = simulated(costs, *sizes)
    record.write(options.result, "scale_out", {**what, "figures": figures, "assumed": assumed, "simulated": table})


UNITS = {
    "file, PNG of 1,024 x 1,024": "bytes",
    "file, JPEG of 1,024 x 1,024": "bytes",
    "a square of 256 x 256 in a shard": "bytes",
    "shuffle buffer: squares that wait": "",
    "shuffle buffer: memory": "MiB",
    "shuffle buffer: memory of squares and groups": "MiB",
}


def spent(work: Callable[[], object], count: int, repeats: int = 3) -> float:
    """CPU seconds of this process for each of `count` images, the median of some calls after a warm-up."""
    work()
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        found.append((time.process_time() - begun) / count)
    return float(np.median(found))


def of_files(scratch: Path, count: int) -> Costs:
    """Reading and decoding of files of 1,024 x 1,024 pixels, and their hashes."""
    phantom.paint(scratch / "phantoms", 12, 0)
    painted = sorted((scratch / "phantoms").rglob("*.png"))[:12]
    rng, costs = np.random.default_rng(0), {}
    data = Data()
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 90})):
        files = []
        for number in range(count):
            with Image.open(painted[number % len(painted)]) as opened:
                large = np.asarray(opened.convert("L").resize((FILE_SIDE, FILE_SIDE)), dtype=np.float64)
            noisy = np.clip(large + rng.normal(0, 3, large.shape), 0, 255).astype(np.uint8)
            files.append(scratch / f"{number}.{kind.lower()}")
            Image.fromarray(noisy).save(files[-1], kind, **options)
        costs[f"file, {kind} of 1,024 x 1,024"] = float(np.mean([file.stat().st_size for file in files]))
        costs[f"read {kind} from the page cache"] = spent(lambda f=files: [reading.content(str(e)) for e in f], count)
        costs[f"decode {kind} to a square"] = spent(
            lambda f=files: [fit_square(decode(str(e), data)[0], SIDE, "pad") for e in f], count
        )
    small = rng.integers(0, 256, (256, 64, 64), np.uint8)
    costs["hash for the audit"] = spent(lambda: hashes.bits(found := hashes.spectra(small), hashes.usual(found)), 256)
    return costs


def of_network(batch: int, pixels: int) -> Costs:
    """The forward pass of DenseNet-169 at 224 pixels on one core, in bfloat16."""
    pixels = max(32, pixels * 224 // 256)
    network = models.build(Model(backbone="densenet169"), classes=3, mean=0.5, std=0.2, seed=0).eval()
    images = torch.rand(batch, 1, pixels, pixels)

    def forward() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            network.features(images)

    return {"encode on a core": spent(forward, batch)}


def of_vectors(count: int) -> Costs:
    """A part of vectors as Parquet."""
    import pandas as pd

    vectors = np.random.default_rng(0).normal(size=(count, VECTOR)).astype(np.float32)
    rows = pd.DataFrame({"file": [f"some/folder/of/images/{number:09}.png" for number in range(count)]})
    with tempfile.TemporaryDirectory() as folder:
        return {"write a vector": spent(lambda: parquet.write(Path(folder) / "part.parquet", rows, vectors), count)}


def pictures(folder: Path | None, count: int, scratch: Path) -> NDArray[np.uint8]:
    """Squares uint8 [count, 1, 256, 256], some of them again and again."""
    files = sorted(
        path for path in (folder or scratch / "phantoms").rglob("*") if path.suffix in (".png", ".jpg", ".jpeg")
    )
    files = files[:: max(1, len(files) // 512)][:512]
    made = [fit_square(decode(str(file), Data())[0], SIDE, "pad")[0] for file in files]
    return np.stack([made[number % len(made)] for number in range(count)])[:, None]


def of_shards(scratch: Path, squares: NDArray[np.uint8], buffer: int) -> Costs:
    """Packing, reading back through a shuffle buffer with its memory, and the memory map."""
    count, digests = len(squares), ["0" * 64] * len(squares)
    content: list[bytes] = []
    pack = spent(
        lambda: content.append(parquet_files.shard_bytes(squares[:SHARD], digests[:SHARD], GROUP, "")),
        min(count, SHARD),
    )
    shards = []
    for number, start in enumerate(range(0, count, SHARD)):
        part = squares[start : start + SHARD]
        (scratch / f"{number}.parquet").write_bytes(parquet_files.shard_bytes(part, digests[: len(part)], GROUP, ""))
        shards.append(Shard(file=f"{number}.parquet", images=len(part), bytes=1))
    squares.tofile(scratch / "squares.u8")
    mapped = np.asarray(np.memmap(scratch / "squares.u8", np.uint8, "r", shape=squares.shape))
    told = Description(
        size=SIDE, group=GROUP, images=count, settings={}, intensity={}, identity="", shards=tuple(shards)
    )
    store = ShardStore(str(scratch), told, buffer, 1, *(np.zeros(count, np.int64),) * 2)
    rows = np.arange(count)
    layout = order.Layout(rows, store.shard_of(rows), buffer, 1, GROUP)
    epoch = order.uniform(rows, np.zeros(count, np.int64), {0: count}, 64, layout, np.random.default_rng(0))
    peaks = []

    def read() -> None:
        before = timing.memory()
        with timing.Peak() as peak:
            stream = Stream(store, list(epoch), epoch.held)
            for _ in epoch:
                stream.take()
            stream.close()
        peaks.append((peak.most - before, stream.plan.peak))

    costs = {"pack a square": pack, "read a square through the shuffle buffer": spent(read, count, 1)}
    costs["read a square from the memory map, in the page cache"] = spent(
        lambda: [mapped[each] for each in epoch], count
    )
    costs["a square of 256 x 256 in a shard"] = len(content[0]) / min(count, SHARD)
    costs["shuffle buffer: squares that wait"] = float(peaks[0][1])
    costs["shuffle buffer: memory"] = max(most for most, _ in peaks)
    costs["shuffle buffer: memory of squares and groups"] = (peaks[0][1] + 8 * GROUP) * SIDE * SIDE / 2**20
    return costs


def of_gpu() -> tuple[float, float]:
    """Seconds an image of a forward pass and of a training step on the GPU of `step_parts_gpu.json`."""
    found = json.loads((record.RESULTS / "step_parts_gpu.json").read_text())
    value = {each["name"]: each["value"] for each in found["figures"]}
    step = value["a step"] / 1000 / found["batch"]
    return step * value["forward: share of the step"], step


def jobs(costs: Costs) -> dict[str, tuple[str, Worker, Troubles]]:
    """What workers do, from which store, and what goes wrong; a worker is 16 cores, some with a GPU.

    A training waits for its slowest process in every step, so an epoch is simulated without troubles. The memory map is
    read by one thread, image by image; shards by the four of `stream.THREADS`.
    """
    png, gpu, step = costs["file, PNG of 1,024 x 1,024"], costs["GPU: forward pass"], costs["GPU: training step"]
    write, packed = costs["write a vector"], costs["a square of 256 x 256 in a shard"]
    decode_png, shard = costs["decode PNG to a square"], costs["read a square through the shuffle buffer"]
    on_cores = (decode_png + costs["encode on a core"] + write) / 16
    usual, spot = Troubles(), Troubles(hours_between_failures=2.0)
    by_gpu, epoch = Worker(1, png, decode_png, gpu, write), Worker(1 / GROUP, packed, shard, step, 0, connections=4)
    return {
        "encode files, CPUs": ("object store", Worker(1, png, 0, on_cores, 0), usual),
        "encode files, a GPU each": ("object store", by_gpu, usual),
        "encode files, a GPU each, taken away every 2 hours": ("object store", by_gpu, spot),
        "encode shards, a GPU each": ("object store", Worker(1 / GROUP, packed, shard, gpu, write), usual),
        "hash files, CPUs": ("object store", Worker(1, png, decode_png + costs["hash for the audit"], 0, 0), usual),
        f"{EPOCH}memory map": ("network disk", Worker(1, SIDE * SIDE, 0, step, 0, connections=1), CALM),
        f"{EPOCH}folder of shards": ("network disk", epoch, CALM),
        f"{EPOCH}bucket of shards": ("object store", epoch, CALM),
    }


def simulated(costs: Costs, images: tuple[float, ...], workers: tuple[int, ...]) -> list[dict[str, Any]]:
    """A line for each job, number of images and number of workers."""
    lines = []
    for (name, (store, worker, troubles)), count in product(jobs(costs).items(), images):
        alone = 0.0
        for several in workers:
            part, driver = (STEP, 0.0) if name.startswith(EPOCH) else (PART, DRIVER)
            found = simulate(Job(count, part, several, driver, STORES[store], worker, troubles))
            alone = alone or found.seconds * several
            line = {"job": name, "images": count, "workers": several, "hours": record.rounded(found.seconds / 3600)}
            line |= {"efficiency": round(alone / found.seconds / several, 3), "bound": found.bound}
            lines.append({**line, "shares": {part: round(share, 3) for part, share in found.shares.items()}})
            record.say(f"{name}, {count:.0e} images, {several} workers: {found.seconds / 3600:.4g} h, {found.bound}")
    return lines


if __name__ == "__main__":
    main()
