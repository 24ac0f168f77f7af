"""Images a second of encoding, against torchvision's model in a plain loop; and whether memory grows with the images.

python -m benchmarks.encoding [--quick] [--repeats 5] [--pixels 224]

Ours: `EmbeddingModel.embed` of image files (precision auto, as `ccxr encode`), and of their decoded cache. Theirs: PIL,
transforms v2, torchvision's DenseNet-169 in eval mode without gradients, batches of the same size, one picture after
the other. Random weights: they do not matter to the speed. Memory: `ccxr encode` of few and of many phantoms (every
file differs) through a small network, each a process of its own; peak of anonymous memory.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

from benchmarks import record, timing
from benchmarks.subject import Subject, size, subject
from contrastive_cxr import EmbeddingModel
from contrastive_cxr.inference.encode import encode
from contrastive_cxr.models import weights
from contrastive_cxr.phases.context import decode_settings

BATCH = 64


def main() -> None:
    """Measure speed and memory, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pixels", type=int, default=224, help="side of the network's input")
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--one", type=Path, help="encode this folder's images, print the memory as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.one:
        record.say(json.dumps(encoded(options.one)))
        return
    if options.quick:
        options.repeats, options.few, options.many, options.pixels = 2, 100, 400, 32
    wanted = dataclasses.replace(size(options.quick), pixels=options.pixels)
    with tempfile.TemporaryDirectory() as scratch:
        figures = speed(subject(Path(scratch), wanted), options.repeats)
        figures += memory(Path(scratch), options)
    what = {"question": "Encoding", "size": vars(wanted), "words": options.words}
    record.write(options.result, "encoding", {**what, "figures": figures})


def speed(made: Subject, repeats: int) -> list[record.Figure]:
    """Images a second of both, in turn."""
    model, manifest = saved_model(made, made.scratch / "model"), made.data.manifest_table()
    rows = made.data.rows("train")
    files = [Path(manifest["root"][row]) / manifest["path"][row] for row in rows]
    setting = made.setting("embed", "cache")
    images = setting.images()
    works: dict[str, Callable[[], Any]] = {
        "ours, files": lambda: model.embed(files, batch_size=BATCH),
        "ours, cache": lambda: setting.encode(model.network, images, rows),
        "plain loop, files": plain(files, made),
    }
    spent = timing.in_turn(works, repeats, made.device)
    figures = [record.figure(name, [len(rows) / value for value in spent[name]], "images/s") for name in works]
    faster = timing.ratios(spent["plain loop, files"], spent["ours, files"])
    assert model.settled is not None, "embed has settled it"
    half = model.settled.precision == "bf16-mixed"
    aim = None if made.device.type == "cuda" else ">= 2.2" if half else ">= 1.6"
    words = f"from files, {model.settled.precision}: times faster than a plain loop in float32"
    return [record.figure(words, faster, wanted=aim), *figures]


def saved_model(made: Subject, folder: Path) -> EmbeddingModel:
    """An untrained model of phase 2, written and loaded as a user's."""
    setting = made.setting("embed", folder.name)
    assert made.recipe.embed is not None, "the phantom recipe has a phase 2"
    network = setting.build("embed", projection=made.recipe.embed.projection)
    task = made.recipe.task.model_dump(mode="json")
    card = {"phase": "embed", "experiment": "benchmark", "task": task, "classes": []}
    folder.mkdir(parents=True, exist_ok=True)
    weights.save(network, folder, {**card, "channels_last": True, "decode": decode_settings(made.recipe)})
    return EmbeddingModel.load(folder, made.device.type, "auto")


def plain(files: list[Path], made: Subject) -> Callable[[], Any]:
    """What one writes without us."""
    network = torchvision.models.get_model(made.recipe.model.backbone, weights=None).eval().to(made.device)
    side = made.recipe.model.image_size
    ready = v2.Compose(
        [
            v2.Resize((side, side)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    @torch.no_grad()
    def work() -> Any:
        parts = []
        for start in range(0, len(files), BATCH):
            pictures = [ready(Image.open(path).convert("RGB")) for path in files[start : start + BATCH]]
            parts.append(network(torch.stack(pictures).to(made.device)).cpu().numpy())
        return np.concatenate(parts)

    return work


def memory(scratch: Path, options: Any) -> list[record.Figure]:
    """Peaks of encoding few and many images."""
    small = size(quick=True)
    made = subject(scratch / "small", small, [f"data.images={options.few}"])
    peaks = {}
    for count in (options.few, options.many):
        folder = scratch / f"images-{count}"
        saved_model(made, folder / "model")
        multiply(made, folder / "images", count)
        peaks[count] = timing.in_process("encoding", ["--one", str(folder)], options.threads)
    few, many = peaks[options.few], peaks[options.many]
    return [
        record.figure(f"peak of anonymous memory, {options.few} images", few["mib"], "MiB"),
        record.figure(f"peak of anonymous memory, {options.many} images", many["mib"], "MiB"),
        record.figure(f"memory at {options.many} over {options.few} images", many["mib"] / few["mib"], wanted="<= 1.1"),
        record.figure(f"{options.many} images through a small network", many["images_per_second"], "images/s"),
    ]


def multiply(made: Subject, folder: Path, count: int) -> None:
    """`count` PNG files, all different: phantoms with their number written into the corner's pixels."""
    squares = made.data.take(np.arange(len(made.data)))[:, 0]
    for number in range(count):
        picture = squares[number % len(squares)].copy()
        picture.reshape(-1)[:4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8)
        part = folder / f"{number // 1000:04d}"
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(part / f"{number:07d}.png", compress_level=1)


def encoded(folder: Path) -> dict[str, float]:
    """Encode a folder as `ccxr encode` does; peak memory and speed."""
    count = sum(1 for _ in (folder / "images").rglob("*.png"))
    with timing.Peak() as peak:
        work = partial(encode, folder / "model", folder / "images", folder / "vectors.npy")
        spent = timing.seconds(work, torch.device("cpu"))
    return {"mib": peak.most, "images_per_second": count / spent}


if __name__ == "__main__":
    main()
