"""Phase 2 against what a user would write: a plain script of the same steps, and lightly's parts for NT-Xent.

python -m benchmarks.against_plain [--quick] [--data FOLDER] [--steps 120] [--repeats 3]

`plain_triplet` on one side, the phase on the other: the same images, size, batch and steps, each a process of its own,
in turn. FOLDER holds the X-rays of the recipe xray/three-class-scratch; without it phantoms are painted. The vote of
the 20 nearest training images on the validation images stands beside the speed: a fast step that learns less would be
no gain. NT-Xent is compared where lightly is installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import record, timing
from benchmarks.subject import Size, Subject, size, subject
from contrastive_cxr import phases
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.run.log import MetricsLog

LOSSES = {
    "triplet": [],
    "nt-xent": ["embed.loss=nt-xent", "embed.temperature=0.5", "embed.positives=augmented", "embed.augment=strong"],
}


def main() -> None:
    """Measure both losses, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--data", type=Path, help="the X-rays that xray/three-class-scratch is for")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=workers(), help="DataLoader workers of the plain script")
    parser.add_argument("--ours", nargs=2, metavar=("SCRATCH", "LOSS"), help="one training of ours, printed as JSON")
    options = parser.parse_args()
    if options.quick:
        options.steps, options.repeats = 6, 1
    wanted = size(options.quick)
    if options.ours:
        torch.set_num_threads(options.threads)
        record.say(json.dumps(ours(Path(options.ours[0]), options.ours[1], wanted, options)))
        return
    figures: list[record.Figure] = []
    with tempfile.TemporaryDirectory() as scratch:
        made = opened(Path(scratch), wanted, options, [])
        lay_out(made, Path(scratch) / "plain")
        there = [name for name in LOSSES if name == "triplet" or importlib.util.find_spec("lightly")]
        for loss in there:
            figures += compared(loss, Path(scratch), wanted, options)
    note = "" if "nt-xent" in there else " lightly is not installed: NT-Xent was not compared."
    what = {"question": "Against what a user would write", "size": vars(wanted), "steps": options.steps}
    more = {"workers": options.workers, "words": options.words + note, "figures": figures}
    record.write(options.result, "against_plain", {**what, **more})


def workers() -> int:
    """As many as a user would take: beside a GPU half of the cores, at most 8; otherwise 2."""
    cores = os.cpu_count() or 1
    return min(8, max(1, cores // 2)) if torch.cuda.is_available() else min(2, cores)


def compared(loss: str, scratch: Path, wanted: Size, options: Any) -> list[record.Figure]:
    """Speed and vote of both sides, in turn."""
    sides: dict[str, list[dict[str, float]]] = {"ours": [], "plain": []}
    common = ["--steps", str(options.steps)]
    more = ["--quick"] if options.quick else []
    data = ["--data", str(options.data)] if options.data else []
    sizes = ["--pixels", str(wanted.pixels), "--batch", str(wanted.batch)]
    plain = ["--loss", loss, "--backbone", wanted.backbone, *sizes]
    for _ in range(options.repeats):
        words = ["--ours", str(scratch), loss, *common, *more, *data]
        sides["ours"].append(timing.in_process("against_plain", words, options.threads))
        words = [str(scratch / "plain"), *common, *plain, "--workers", str(options.workers)]
        sides["plain"].append(timing.in_process("plain_triplet", words, options.threads))
    speed = {name: [run["images_per_second"] for run in runs] for name, runs in sides.items()}
    vote = {name: [run["knn_accuracy"] for run in runs] for name, runs in sides.items()}
    aim = ">= 4" if torch.cuda.is_available() else ">= 1.25"
    gained = [one - other for one, other in zip(vote["ours"], vote["plain"], strict=True)]
    return [
        record.figure(f"{loss}: times faster", timing.ratios(speed["ours"], speed["plain"]), wanted=aim),
        record.figure(f"{loss}: ours", speed["ours"], "images/s"),
        record.figure(f"{loss}: plain script", speed["plain"], "images/s"),
        record.figure(f"{loss}: vote of ours", vote["ours"]),
        record.figure(f"{loss}: vote of the plain script", vote["plain"]),
        record.figure(f"{loss}: vote, ours less the plain script's", gained, wanted=">= 0"),
    ]


def opened(scratch: Path, wanted: Size, options: Any, more: list[str]) -> Subject:
    """The images and a recipe over them; the plain script's rate, and weights of the last step."""
    loss = ["embed.loss=triplet", "embed.mining=semihard", "embed.margin=0.2"]
    fixed = ["embed.trainable=null", "embed.optimiser={name: adam, lr: 0.0001}", "embed.schedule={name: constant}"]
    steps = [f"embed.steps_per_epoch={options.steps // 2}", "embed.epochs=2", f"embed.batch_size={wanted.batch}"]
    rest = ["embed.initial_image_size=null", "embed.ema_decay=0", "embed.choose_by=last", "embed.validate_every=2"]
    return subject(scratch, wanted, [*fixed, *loss, *steps, *rest, *more], options.data)


def ours(scratch: Path, loss: str, wanted: Size, options: Any) -> dict[str, float]:
    """Train phase 2 and vote; the first epoch, half of the steps, warms up."""
    made = opened(scratch, wanted, options, LOSSES[loss])
    with tempfile.TemporaryDirectory() as folder:
        setting = made.setting("embed", folder)
        phases.embed(setting)
        rate = MetricsLog(setting.folder / "timing.jsonl").rows()[-1]["images_per_second"]
        from contrastive_cxr.models import weights

        network, _ = weights.load(setting.folder)
        network = network.to(made.device).to(memory_format=torch.channels_last)
        rows = {split: made.data.rows(split) for split in ("train", "val")}
        vectors = {split: setting.encode(network, setting.images(), part) for split, part in rows.items()}
    labels = {split: made.data.labels[part] for split, part in rows.items()}
    found = neighbours.scores(
        vectors["train"], labels["train"], vectors["val"], labels["val"],
        gallery_ids=rows["train"], query_ids=rows["val"], vote=min(20, len(rows["train"])),
    )  # fmt: skip
    return {"images_per_second": rate, "knn_accuracy": found.values["knn_accuracy"]["value"]}


def lay_out(made: Subject, folder: Path) -> None:
    """The same training and validation files as links in class folders, for ImageFolder."""
    names, manifest = np.array(made.data.classes), made.data.manifest_table()
    for split in ("train", "val"):
        for row in made.data.rows(split):
            source = Path(manifest["root"][row]) / manifest["path"][row]
            link = folder / split / str(names[made.data.labels[row]]) / f"{row}{source.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source.resolve())


if __name__ == "__main__":
    main()
