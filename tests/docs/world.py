"""A folder in which the pages' commands run: painted images, a table of them, and a small finished run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch
import torchvision
from typer.testing import CliRunner

from contrastive_cxr import recipe as recipes
from contrastive_cxr.cli.app import app
from contrastive_cxr.data import phantom
from tests.docs.pages import called

SMALL = {
    "": ["model.backbone=timm/test_resnet", "model.weights=none", "model.image_size=32", "model.normalise=dataset",
         "evaluation.resamples=100", "evaluation.tta=none", "tracking.wandb=off", "runtime.precision=32-true",
         "runtime.device=cpu"],
    "pretrain": ["trainable=null", "epochs=1", "initial_image_size=null", "batch_size=8"],
    "embed": ["trainable=null", "epochs=1", "initial_image_size=null", "images_per_class=4", "batch_size=8",
              "projection=[16]"],
    "finetune": ["epochs=1", "batch_size=8"],
}  # fmt: skip


def paint(root: Path, images: int, seed: int) -> pd.DataFrame:
    """Paint phantoms into a folder a class below `root`; gives their table, `file` relative to `root`."""
    drawn = root.parent / f"{root.name}-painted"
    phantom.paint(drawn, images, seed)
    table = pd.read_csv(drawn / "labels.csv")
    for row, file in enumerate(table["file"]):
        place = Path(str(table["label"][row])) / Path(file).name
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(drawn / file, root / place)
        table.loc[row, "file"] = place.as_posix()
    shutil.rmtree(drawn)
    return table


def furnish(root: Path) -> None:
    """Everything that a page may take for granted: `images`, `scans`, `elsewhere`, `new`, and the run `runs/mine`."""
    table = paint(root / "images", 72, 0)
    (root / "scans" / "pictures").mkdir(parents=True)
    for file in table["file"]:
        shutil.copy(root / "images" / file, root / "scans" / "pictures" / Path(file).name)
    names = [Path(file).stem for file in table["file"]]
    cases = pd.DataFrame({"Image": names, "Diagnosis": table["label"], "Patient ID": table["patient"]})
    cases["sex"] = ["f" if row % 2 else "m" for row in range(len(cases))]
    cases["age"] = [20 + row % 60 for row in range(len(cases))]
    cases.to_csv(root / "scans" / "cases.csv", index=False)
    paint(root / "elsewhere", 36, 1)
    (root / "new").mkdir()
    for name, file in zip(("one", "two", "three"), sorted((root / "elsewhere").rglob("*.png")), strict=False):
        shutil.copy(file, root / "new" / f"{name}.png")


def train(root: Path) -> None:
    """Train the run `runs/mine` on `scans`, by the command of docs/start/your-images.md."""
    task = "task={name: mine, classes: {normal: [normal], ill: [nodule, opacity]}}"
    where = ["data.source=csv", "data.root=scans", "data.csv=cases.csv", "data.split.kind=fractions"]
    run(["ccxr", "run", "xray/three-class-light", *where, task, "--out", "runs/mine"], root)
    shutil.copytree(root / "runs" / "mine", root / "runs" / "other")


def small(words: list[str]) -> list[str]:
    """A command that trains, made small by further settings; what the page itself sets stays, but for sizes."""
    settings = [word for word in words[2:] if re.match(r"[a-z_]+(\.[a-z_0-9]+)*=", word)]
    named = {word.partition("=")[0] for word in settings}
    plain = [word for word in settings if words[0] != "sweep" or "," not in word.partition("=")[2]]
    plain = [word.replace("wandb=online", "wandb=offline") for word in plain]
    recipe = recipes.load(words[1], plain)
    added = [word for word in SMALL[""] if not kept(word, named)]
    for phase in ("pretrain", "embed", "finetune"):
        if getattr(recipe, phase) is not None:
            added += [f"{phase}.{word}" for word in SMALL[phase] if not kept(f"{phase}.{word}", named)]
    if recipe.data.source == "phantom":
        added += ["data.images=60", "data.cache_size=32"]
    return [*(word.replace("wandb=online", "wandb=offline") for word in words), *added]


def kept(word: str, named: set[str]) -> bool:
    """Whether the page's own setting stands: the weights it starts from, the backbone it compares, where W&B writes."""
    key = word.partition("=")[0]
    return key in named and key in (
        "model.backbone",
        "model.weights",
        "model.image_size",
        "tracking.wandb",
        "pretrain.augment",
    )


def run(command: list[str], root: Path) -> str:
    """Run one command of a page in `root`; what it prints.

    `ccxr` runs in this process, what trains with small settings; torchrun's processes are real. `quickstart` has no
    settings, so the recipe that it runs takes its place.
    """
    words = called(command)
    if words is None:
        return ""
    if words[0] == "quickstart":
        words = ["run", "phantom", "--out", "runs/quickstart"]
    if words[0] in ("run", "pretrain", "embed", "finetune", "sweep"):
        words = small(words)
    elif words[:2] == ["data", "pack"]:
        words = ["data", *small(words[1:])]
    if command[0] == "torchrun":
        return two_processes(command[1 : command.index("-m")], words, root)
    before = Path.cwd()
    os.chdir(root)
    try:
        result = CliRunner().invoke(app, words)
    finally:
        os.chdir(before)
    assert result.exit_code == 0, f"{' '.join(command)}\n{result.output[-3000:]}\n{result.exception!r}"
    return result.output


def two_processes(options: list[str], words: list[str], root: Path) -> str:
    """`ccxr` by torchrun with the page's own `options`, on two processes in the place of the page's number."""
    if "--nproc-per-node" in options:
        place = options.index("--nproc-per-node")
        options = options[:place] + options[place + 2 :]
    return module("torch.distributed.run", [*options, "--nproc-per-node", "2", "-m", "contrastive_cxr", *words], root)


def module(name: str, words: list[str], root: Path) -> str:
    """`python -m NAME WORDS` in `root`, a process of its own that imports this checkout; what it prints."""
    path = f"{Path(__file__).resolve().parents[2]}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-m", name, *words], cwd=root, capture_output=True, text=True, check=False, timeout=1200,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, f"{name} {' '.join(words)}\n{done.stderr[-3000:]}"
    return done.stdout


def checkpoint(file: Path) -> None:
    """A checkpoint of another project: a ResNet-18 of random weights in a wrapper."""
    torch.save({"state_dict": torchvision.models.resnet18().state_dict()}, file)
