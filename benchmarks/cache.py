"""The decoded cache: how fast it is built and read, and how much memory a large one takes.

python -m benchmarks.cache [--quick] [--repeats 5]

Building from JPEG files of 1,024 pixels, against PIL in one thread (open, grey, resize); random batches of 64 at 224
pixels from the page cache, one thread; a cache of 200,000 images (1,000 phantoms, every file made different) built and
trained from for an epoch of a small network in a process of its own: its peak of anonymous memory (mapped pages do not
count).
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks import record, timing
from benchmarks.encoding import multiply
from benchmarks.subject import size, subject
from contrastive_cxr import phases
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data import cache, phantom, sources
from contrastive_cxr.data.batches import Images, shuffled

CPU = torch.device("cpu")


def main() -> None:
    """Measure, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=500, help="of the cache that is built and read")
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--one", type=Path, help="build from this folder and train, print the memory as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        record.say(json.dumps(trained(options.one)))
        return
    if options.quick:
        options.repeats, options.images, options.many = 2, 60, 600
    with tempfile.TemporaryDirectory() as scratch:
        paint(Path(scratch) / "painted", options.images)
        figures = [*building(Path(scratch), options.repeats), *reading(Path(scratch), options.repeats)]
        figures += large(Path(scratch), options.many, options.threads)
    what = {"question": "Cache", "cores": os.cpu_count(), "words": options.words}
    record.write(options.result, "cache", {**what, "figures": figures})


def paint(folder: Path, images: int) -> None:
    """Phantoms enlarged to what X-rays have: JPEG files of 1,024 x 1,024 pixels."""
    phantom.paint(folder, images, 0)
    for path in (folder / "images").glob("*.png"):
        with Image.open(path) as picture:
            picture.resize((1024, 1024), Image.Resampling.BICUBIC).save(path.with_suffix(".jpg"), quality=90)
        path.unlink()
    table = folder / "labels.csv"
    table.write_text(table.read_text().replace(".png", ".jpg"))


def building(scratch: Path, repeats: int) -> list[record.Figure]:
    """Images a second of building and of PIL, in turn; each build into a folder of its own."""
    files = sorted((scratch / "painted" / "images").glob("*.jpg"))
    turns = iter(range(1000))
    works = {
        "cache": lambda: built(scratch, f"turn-{next(turns)}", 224),
        "PIL": lambda: [by_pil(path) for path in files],
    }
    spent = timing.in_turn(works, repeats, CPU)
    cores = len(os.sched_getaffinity(0))
    return [
        record.figure(
            "building: times PIL in one thread", timing.ratios(spent["PIL"], spent["cache"]), "", f">= {0.9 * cores:g}"
        ),
        record.figure("building", [len(files) / value for value in spent["cache"]], "images/s"),
        record.figure("PIL in one thread", [len(files) / value for value in spent["PIL"]], "images/s"),
    ]


def built(scratch: Path, name: str, side: int, place: Path | None = None) -> cache.Cache:
    """A cache of the painted images, or of a folder's with a labels.csv."""
    words = [f"data.root={place or scratch / 'painted'}", f"data.cache_dir={scratch / name}", f"data.cache_size={side}"]
    data = recipes.load("phantom", ["data.source=csv", "data.csv=labels.csv", *words]).data
    return cache.build(sources.read_data(data), data)


def by_pil(path: Path) -> np.ndarray:
    """Open, grey, resize to 224."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L").resize((224, 224), Image.Resampling.BILINEAR))


def reading(scratch: Path, repeats: int) -> list[record.Figure]:
    """Images a second of random batches by one thread."""
    images = Images(built(scratch, "turn-0", 224).images, CPU)
    before, rows = torch.get_num_threads(), np.arange(len(images))
    torch.set_num_threads(1)

    def work() -> None:
        for number in range(20):
            for batch in shuffled(rows, 64, np.random.default_rng(number)):
                images.take(batch)

    spent = timing.in_turn({"read": work}, repeats, CPU)["read"]
    torch.set_num_threads(before)
    rate = [20 * len(rows) / value for value in spent]
    return [record.figure("random batches of 64 at 224 pixels, one thread", rate, "images/s", ">= 20000")]


def large(scratch: Path, many: int, threads: int) -> list[record.Figure]:
    """Memory of building a large cache and of an epoch over it."""
    folder = scratch / "large"
    made = subject(scratch / "few", size(quick=True), ["data.images=1000"])
    multiply(made, folder / "images", many)
    files = sorted(path.relative_to(folder) for path in (folder / "images").rglob("*.png"))
    lines = [f"{path},{('normal', 'nodule', 'opacity')[number % 3]},P{number}" for number, path in enumerate(files)]
    (folder / "labels.csv").write_text("\n".join(["file,label,patient", *lines]) + "\n")
    found = timing.in_process("cache", ["--one", str(folder)], threads)
    return [
        record.figure(f"anonymous memory: {many} images built and trained from", found["mib"], "MiB", "<= 2048"),
        record.figure(f"building with {many} images", found["images_per_second"], "images/s"),
    ]


def trained(folder: Path) -> dict[str, float]:
    """Build the cache of a folder, train one epoch of a small network; peak memory and building speed."""
    words = [
        "data.source=csv",
        f"data.root={folder}",
        "data.csv=labels.csv",
        "data.cache_size=64",
    ]
    with timing.Peak() as peak:
        begun = timing.seconds(partial(subject, folder, size(quick=True), words), CPU)
        made = subject(folder, size(quick=True), [*words, "pretrain.epochs=1", "pretrain.batch_size=256"])
        phases.pretrain(made.setting("pretrain", "run"))
    return {"mib": peak.most, "images_per_second": len(made.data) / begun}


if __name__ == "__main__":
    main()
