"""Are exports the model that they were made of, and what do 8 bits cost? Two backbones, each format.

python -m benchmarks.studies.export data.root=DIR [--train 120] [--val 250] [--out FOLDER]

DIR holds the X-rays of `xray/three-class-scratch` and `-light`. The two recipes are trained on few images and for one
epoch, since the export alone is measured: `--train` images of each class of train/, checked on all images of val/ and
others of train/, `--val` together. The same command goes on where it was stopped. Times are of this machine with
whatever else it does.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import record
from contrastive_cxr import recipe as recipes
from contrastive_cxr.export.export import export
from contrastive_cxr.run import folder
from contrastive_cxr.training.run import run

RUNS = {"densenet169": "xray/three-class-scratch", "tf_efficientnet_lite0": "xray/three-class-light"}
CLASSES = ("normal", "infected/covid", "infected/non-covid")
SMALL = (
    "data.split.kind=official", "pretrain.epochs=1", "embed.epochs=1",
    "finetune.epochs=1", "evaluation.resamples=100", "evaluation.baselines=false", "evaluation.audit=false",
    "tracking.wandb=off", "runtime.device=cpu", "runtime.precision=32-true", "embed.images_per_class=8",
)  # fmt: skip


def main() -> None:
    """Train small, export, write `benchmarks/results/export.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="data.root=DIR")
    parser.add_argument("--train", type=int, default=120, help="training images of each class")
    parser.add_argument("--val", type=int, default=250, help="images of the check")
    parser.add_argument("--out", type=Path, default=Path("runs/export"))
    parser.add_argument("--only", choices=RUNS, help="train and export this one alone, and write no result yet")
    parser.add_argument("--words", default="", help="a remark for the file")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    images = options.out / "images"
    counts = gather(Path(options.root.removeprefix("data.root=")), images, options.train, options.val)
    wanted = {name: recipe for name, recipe in RUNS.items() if options.only in (None, name)}
    found = {name: measured(name, recipe, images, options.out) for name, recipe in wanted.items()}
    if options.only:
        return
    figures = [line for name, facts in found.items() for line in figures_of(name, facts)]
    result = {
        "question": "Are exports the model that they were made of, and what do 8 bits cost?",
        "words": options.words, "counts": counts, "figures": [line.model_dump() for line in figures], "exports": found,
    }  # fmt: skip
    record.write(options.result, "export", result)


def gather(root: Path, images: Path, train: int, val: int) -> dict[str, int]:
    """Copy some images of train/ into `train` and, with all images of val/, others of them into `val`."""
    counts = {"train": 0, "val": 0, "of val/": 0}
    official = {name: files(root / "val" / name) for name in CLASSES}
    counts["of val/"] = sum(map(len, official.values()))
    further = -(-(val - counts["of val/"]) // len(CLASSES))
    for name in CLASSES:
        every = files(root / "train" / name)
        order = np.random.default_rng(0).permutation(len(every))
        chosen = [every[place] for place in order[: train + further]]
        for part, those in (("train", chosen[:train]), ("val", [*official[name], *chosen[train:]])):
            place = images / part / name
            place.mkdir(parents=True, exist_ok=True)
            for file in those:
                shutil.copyfile(file, place / file.name)
            counts[part] += len(those)
    return counts


def files(place: Path) -> list[Path]:
    """The files of a folder, in order."""
    return sorted(path for path in place.iterdir() if path.is_file())


def measured(name: str, recipe: str, images: Path, out: Path) -> dict[str, Any]:
    """The checks of all formats of one run, with sizes; what an earlier call trained or exported is not done again."""
    place = out / name
    if not (place / "finetune" / "model.json").is_file():  # the last phase; its report is not needed here
        run(recipes.load(recipe, [f"data.root={images}", *SMALL]), place)
    found: dict[str, Any] = {}
    for to in ("hf", "torch", "onnx"):
        target, held = out / f"{name}-{to}", out / f"{name}-{to}.json"
        if held.is_file():
            found[to] = folder.read_json(held)
            continue
        facts = export(place, to, target, with_int8=to == "onnx", overwrite=True)
        sizes = {file: (target / file).stat().st_size for file in facts["files"]}
        kept = {key: value for key, value in facts.items() if key not in ("files", "models", "input", "versions")}
        found[to] = {**kept, "bytes": sizes}
        folder.write_json(held, found[to])
    return found


def figures_of(name: str, facts: dict[str, Any]) -> list[record.Figure]:
    """What is wanted of each format, and what 8 bits cost."""
    lines = []
    for to, one in facts.items():
        say = f"{name}, {to}"
        lines += [
            record.figure(f"{say}: least cosine to PyTorch on {one['images']} images", one["least_cosine"],
                          wanted=">= 0.9999"),
            record.figure(f"{say}: decisions that differ", one["differing_decisions"], wanted="<= 0"),
            record.figure(f"{say}: time of the export", one["seconds"], "s"),
        ]  # fmt: skip
        lines += [record.figure(f"{say}: {file}", size / 1e6, "MB") for file, size in one["bytes"].items()
                  if size > 100_000]  # fmt: skip
    small = facts["onnx"]["int8"]
    lines += [
        record.figure(f"{name}, int8: least cosine to float32", small["least_cosine"]),
        record.figure(f"{name}, int8: decisions that differ, of {small['images']}", small["differing_decisions"]),
    ]
    for title, word in (("k-NN accuracy", "knn_accuracy"), ("macro AUC", "auc")):
        gap = small[word]["difference"]
        ends = {"low": gap["low"], "high": gap["high"]} if gap["low"] is not None else {}
        lines.append(record.Figure(name=f"{name}, int8 minus float32: {title}, 95 % interval", **ends,
                                   value=record.rounded(gap["difference"])))  # fmt: skip
    return lines


if __name__ == "__main__":
    main()
