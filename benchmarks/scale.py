"""The constants of `docs/reference/scale.md`: counted on the meta device where they are counts, else timed here.

python -m benchmarks.scale [--quick]
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import record, timing
from contrastive_cxr import augment, models, objectives
from contrastive_cxr.data.batches import balanced
from contrastive_cxr.recipe.schema import Embed, Model

CPU = torch.device("cpu")
SIDE = 256  # of a cached square, pixels


def main() -> None:
    """Count and time, write the result."""
    options = record.parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    few = 10 if options.quick else 1
    with tempfile.TemporaryDirectory() as scratch:
        read = reading(Path(scratch), 4000 // few)
    figures = [*network(), *read, table(200_000 // few), *batches(10_000_000 // few), *mining(2048 // few)]
    what = {"question": "What the reckoning for 1, 8 and 64 GPUs stands on", "words": options.words}
    record.write(options.result, "scale", {**what, "figures": figures})


def network() -> list[record.Figure]:
    """DenseNet-169 on one grey image of 224 pixels: FLOP, bytes through memory, kept activations, gradients."""
    with torch.device("meta"):
        made = models.build(Model(backbone="densenet169"), classes=3, mean=0.5, std=0.2, seed=0).train()
        images = torch.rand(2, 1, 224, 224)
    made.to(torch.bfloat16)
    images = images.to(torch.bfloat16)

    def forward() -> Tensor:
        return made.logits(images).float().square().mean()

    with FlopCounterMode(display=False) as inference:
        forward()
    with FlopCounterMode(display=False) as training:
        forward().backward()
    with Traffic() as moved:
        forward().backward()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[id(tensor.untyped_storage())] = tensor.numel() * tensor.element_size()
        held.append(tensor)  # alive, so that no other tensor gets its number
        return tensor

    held: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    weights = sum(parameter.numel() for parameter in made.parameters())
    activations = sum(kept.values()) - 2 * weights
    return [
        record.figure(
            "DenseNet-169, 224 pixels: FLOP of a forward pass", inference.get_total_flops() / 2, "FLOP/image"
        ),
        record.figure(
            "DenseNet-169, 224 pixels: FLOP of a training step", training.get_total_flops() / 2, "FLOP/image"
        ),
        record.figure("DenseNet-169, bf16: bytes its operations read and write", moved.bytes / 2, "bytes/image"),
        record.figure("DenseNet-169, bf16: activations kept for backward", activations / 2, "bytes/image"),
        record.figure("DenseNet-169: parameters", weights),
    ]


class Traffic(TorchDispatchMode):
    """Bytes that operations read and write, each by itself: what a step moves where nothing is fused or cached."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and count its tensors; a view moves nothing."""
        out = func(*args, **(kwargs or {}))
        if not any(
            word in str(func) for word in ("view", "aten.t.", "detach", "expand", "slice", "transpose", "select")
        ):
            parts = [part for part in tree_flatten((args, kwargs, out))[0] if isinstance(part, Tensor)]
            self.bytes += sum(part.numel() * part.element_size() for part in parts)
        return out


def reading(scratch: Path, count: int) -> list[record.Figure]:
    """Random batches of 256 squares from a mapped file in the page cache."""
    made = np.lib.format.open_memmap(scratch / "squares.npy", "w+", np.uint8, (count, 1, SIDE, SIDE))
    made[:] = 1
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, count, 256) for _ in range(10)]
    spent = timing.in_turn({"read": lambda: [made[each] for each in rows]}, 5, CPU)["read"]
    return [
        record.figure("cache: random reads, 256 pixels, one thread", [2560 / each for each in spent], "images/s"),
        record.figure("cache: a square", float(SIDE**2), "bytes/image"),
    ]


def table(rows: int) -> record.Figure:
    """What a row of a manifest takes in a process: its text columns, its facts, its numbers."""
    before = timing.memory()
    numbers = np.arange(rows)
    held = pd.DataFrame(
        {
            "path": [f"images_{row % 12:03d}/patient_{row:08d}_{row % 7:03d}.png" for row in range(rows)],
            "root": "a folder",
            "label": [f"label {row % 3}" for row in range(rows)],
            "patient": [f"patient_{row // 3:08d}" for row in range(rows)],
            "split": "train",
            "source": "a source",
            "digest": [f"{row:064x}" for row in range(rows)],
            **dict.fromkeys(("width", "height", "bytes", "slot", "class", "patient number"), numbers),
        }
    ).copy()
    taken = (timing.memory() - before) * 2**20 / len(held)
    return record.figure("tables: a row in each process", taken, "bytes/image")


def batches(images: int) -> list[record.Figure]:
    """Which rows make the batches of an epoch, and the draws of a global batch, which every process makes."""
    labels = np.arange(images) % 3
    rows, steps = np.arange(images), images // 2048

    def epoch() -> list[np.ndarray[Any, Any]]:
        return balanced(rows, labels, 2, 1024, steps, np.random.default_rng(0))

    def draws() -> Tensor:
        return augment.draw(augment.SETS["xray"], 16384, 0)

    spent = timing.in_turn({"epoch": epoch}, 1, CPU, warm=0)["epoch"]
    drawn = timing.in_turn({"draw": draws}, 5, CPU)["draw"]
    return [
        record.figure("batches of an epoch, P x K", [1e9 * each / images for each in spent], "s per 1e9 images"),
        record.figure("augmentation parameters of 16,384 images", [1000 * each for each in drawn], "ms"),
    ]


def mining(batch: int) -> list[record.Figure]:
    """Memory and time of triplets and loss, forward and backward, by the square of the batch."""
    found = []
    for word in ("semihard", "batch-hard"):
        work = compared(batch, word)
        work()
        before = timing.memory()
        with timing.Peak() as peak:
            spent = [timing.seconds(work, CPU) for _ in range(3)]
        taken = max(0.0, peak.most - before) * 2**20 / batch**2
        found += [
            record.figure(f"{word}, batch of {batch}: memory over the square of the batch", taken, "bytes"),
            record.figure(f"{word}, batch of {batch}: time", spent, "s"),
        ]
    return found


def compared(batch: int, word: str) -> Callable[[], None]:
    """Objective and its gradient on unit vectors of width 512 in two classes."""
    objective = objectives.build(Embed.model_validate({"mining": word, "memory_bank_size": 0}), 512).train()
    vectors = nn.functional.normalize(torch.randn(batch, 512, generator=torch.Generator().manual_seed(0)))
    vectors.requires_grad_()
    labels, patients = torch.arange(batch) % 2, torch.full((batch,), -1)

    def work() -> None:
        objective(vectors, labels, patients, 0)[0].backward()

    return work


if __name__ == "__main__":
    main()
