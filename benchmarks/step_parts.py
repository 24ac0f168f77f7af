"""Where the time of a training step goes, part by part.

python -m benchmarks.step_parts [--quick] [--repeats 10]

Phase 2 by labels (semihard triplets): batch, augmentation, forward of the network, mining and loss, backward,
optimiser, each timed with the device waited for. On a GPU also the share of its bf16 matrix peak, and how often a step
waits for the device outside the mining (`torch.cuda.set_sync_debug_mode`).
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import contrastive_cxr.engine.optim as optim
from benchmarks import record, timing
from benchmarks.subject import Subject, size, subject
from contrastive_cxr.engine import Batch
from contrastive_cxr.phases.embed import ContrastiveStep, epoch_batches
from contrastive_cxr.run import seeds

PARTS = ("batch", "augmentation", "forward", "mining + loss", "backward", "optimiser")
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bf16 FLOP a second of the vendor's data sheets (SXM boards)."""


def main() -> None:
    """Measure the parts, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wanted = size(options.quick)
    with tempfile.TemporaryDirectory() as scratch:
        made = subject(Path(scratch), wanted, ["embed.trainable=null", "embed.augment=xray", "embed.epochs=1"])
        step = Step(made)
        rows = [step() for _ in range((3 if options.quick else options.repeats) + 2)][2:]
        more = on_gpu(step, rows) if made.device.type == "cuda" else {"figures": []}
    whole = [sum(row.values()) for row in rows]
    figures = [record.figure("a step", [1000 * value for value in whole], "ms")]
    for name in PARTS:
        shares = [row[name] / total for row, total in zip(rows, whole, strict=True)]
        figures.append(record.figure(f"{name}: share of the step", shares))
    ours = [sum(row[name] for name in ("batch", "augmentation", "mining + loss")) for row in rows]
    around = timing.ratios(ours, whole)
    figures.append(record.figure("batch, augmentation, mining and loss together", around, wanted="<= 0.03"))
    figures += more.pop("figures")
    what = {"question": "Where the time of a step goes", "size": vars(wanted), "batch": step.batch}
    record.write(options.result, "step_parts", {**what, **more, "words": options.words, "figures": figures})


class Step:
    """A step of phase 2, opened up; calling it gives the seconds of its parts."""

    def __init__(self, made: Subject) -> None:
        self.made, self.count = made, 0
        setting, phase = made.setting("embed", "parts"), made.recipe.embed
        assert phase is not None, "the phantom recipe has a phase 2"
        self.phase, self.step = phase, ContrastiveStep(setting, phase)
        self.step.compare.objective.to(made.device)
        network = setting.build("embed", projection=phase.projection).to(made.device)
        if made.recipe.runtime.channels_last:
            network = network.to(memory_format=torch.channels_last)
        groups = optim.parameter_groups([network], phase.optimiser)
        self.network, self.optimiser = made.fabric.setup(network, optim.make_optimiser(groups, phase.optimiser))
        self.network.train()
        self.batches = epoch_batches(phase, made.data, made.recipe.seed, 0)
        self.batch = len(self.batches[0])

    def __call__(self) -> dict[str, float]:
        """Seconds of each part."""
        spent: dict[str, float] = {}

        @contextmanager
        def part(name: str) -> Iterator[None]:
            timing.wait_for(self.made.device)
            start = time.perf_counter()
            yield
            timing.wait_for(self.made.device)
            spent[name] = time.perf_counter() - start

        self.run(part)
        return spent

    def run(self, part: Any) -> None:
        """The step itself, each part in `with part(name)`."""
        rows = self.batches[self.count % len(self.batches)]
        batch = Batch(rows, rows, 0, self.count, slice(0, len(rows)))
        self.count += 1
        with part("batch"):
            self.step.images.take(rows)
        with part("augmentation"):  # takes the batch again, which is small
            images = self.step.views(batch, self.phase.augment, "augment")
        with part("forward"):
            vectors = self.network(images)
        with part("mining + loss"):
            loss, _ = self.step.compare(vectors, rows, seeds.key(0, self.count))
        with part("backward"):
            self.optimiser.zero_grad()
            self.made.fabric.backward(loss)
        with part("optimiser"):
            self.optimiser.step()


def on_gpu(step: Step, rows: list[dict[str, float]]) -> dict[str, Any]:
    """Share of the matrix peak, and host syncs by part."""
    images = torch.rand(step.batch, 1, *[step.made.recipe.model.image_size] * 2, device=step.made.device)
    with FlopCounterMode(display=False) as counter:
        step.made.fabric.backward(step.network(images).float().square().mean())
    figures = []
    name = torch.cuda.get_device_name(step.made.device)
    peak = next((value for word, value in PEAKS.items() if word in name), None)
    if peak:
        rates = [counter.get_total_flops() / (row["forward"] + row["backward"]) / peak for row in rows]
        figures.append(record.figure("forward and backward: share of the bf16 matrix peak", rates))
    syncs: dict[str, int] = {}

    @contextmanager
    def counted(word: str) -> Iterator[None]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode("default")
        # torch also says, once, that this mode is a prototype
        syncs[word] = sum("called a synchronizing" in str(each.message) for each in caught)

    step.run(counted)
    outside = sum(number for word, number in syncs.items() if word != "mining + loss")
    figures.append(record.figure("host syncs of a step outside the mining", outside, wanted="<= 0"))
    return {"figures": figures, "host_syncs": syncs, "step_flop": counter.get_total_flops()}


if __name__ == "__main__":
    main()
