"""End to end against the bare step: what does everything around the network cost?

python -m benchmarks.end_to_end [--quick] [--repeats 5] [--compile reduce-overhead] [--phase pretrain]

Images a second of a phase, all included (batch, augmentation, forward, mining, loss, backward, optimiser, metrics,
log), over images a second of forward, backward and optimiser on one resident batch: the same network, trainable blocks,
precision, memory layout, clipping and optimiser. The phase is a real one; its second epoch counts. Both in turn.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

import contrastive_cxr.engine.optim as optim
from benchmarks import record, timing
from benchmarks.subject import Subject, size, subject
from contrastive_cxr import phases
from contrastive_cxr.run.log import MetricsLog
from contrastive_cxr.run_layout import PhaseName

TRAIN: dict[PhaseName, Callable[..., Path]] = {
    "pretrain": phases.pretrain,
    "embed": phases.embed,
    "finetune": phases.finetune,
}


def main() -> None:
    """Measure each phase, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", choices=("false", "true", "reduce-overhead"), default="false", help="of the phase")
    parser.add_argument("--phase", action="append", choices=TRAIN, help="phases to measure; default: all three")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = 2 if options.quick else options.repeats
    wanted = size(options.quick)
    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.phase or TRAIN:
            made = subject(
                Path(scratch), wanted, [*overrides(name, wanted.last_block), f"runtime.compile={options.compile}"]
            )
            ours, bare = rates(made, name, repeats)
            figures += [
                record.figure(f"{name}: share of the bare step", timing.ratios(ours, bare), wanted=">= 0.97"),
                record.figure(f"{name}: end to end", ours, "images/s"),
                record.figure(f"{name}: bare step", bare, "images/s"),
            ]
    what = {
        "question": "End to end against the bare step",
        "size": vars(wanted),
        "compile": options.compile,
        "words": options.words,
    }
    record.write(options.result, "end_to_end", {**what, "figures": figures})


def overrides(name: PhaseName, last_block: str) -> list[str]:
    """Two epochs; phase 3 with augmentation and its last block thawed; its frozen head is what `frozen` asks."""
    words = [f"{name}.epochs=2", f"{name}.validate_every=2", f"{name}.initial_image_size=null", f"{name}.ema_decay=0"]
    if name == "embed":
        return [*words, "embed.trainable=null"]
    if name == "finetune":
        return [*words, f"finetune.trainable=[{last_block}, classifier]", "finetune.augment=xray"]
    return words


def rates(made: Subject, name: PhaseName, repeats: int) -> tuple[list[float], list[float]]:
    """Images a second of the phase and of the bare step, `repeats` times in turn after a first turn."""
    step, batch = bare_step(made, name)
    ours, bare = [], []
    for turn in range(repeats + 1):
        folder = TRAIN[name](made.setting(name, f"turn-{turn}"))
        last = MetricsLog(folder / "timing.jsonl").rows()[-1]
        steps = max(1, round(last["images_per_second"] * last["train_seconds"] / batch))
        step()
        spent = timing.seconds(partial(several, step, steps), made.device)
        if turn:
            ours.append(last["images_per_second"])
            bare.append(batch * steps / spent)
    return ours, bare


def several(work: Callable[[], None], times: int) -> None:
    """Call `work` so many times."""
    for _ in range(times):
        work()


def bare_step(made: Subject, name: PhaseName) -> tuple[Callable[[], None], int]:
    """Forward, backward and optimiser of a phase's network on one resident batch, and how many images that is."""
    recipe, setting = made.recipe, made.setting(name, "bare")
    assert recipe.embed is not None, "the phantom recipe has all three phases"
    phase = getattr(recipe, name)
    labelled = name != "embed"
    network: nn.Module = setting.build(
        name,
        projection=() if name == "pretrain" else recipe.embed.projection,
        classes=made.data.classes if labelled else (),
    )
    network.train_only(phase.trainable)  # type: ignore[operator]
    batch = phase.batch_images(len(made.data.classes))
    images = torch.rand(batch, 1, recipe.model.image_size, recipe.model.image_size, device=made.device)
    network = network.to(made.device)
    if recipe.runtime.channels_last:
        network = network.to(memory_format=torch.channels_last)
    groups = optim.parameter_groups([network], phase.optimiser)
    wrapped, optimiser = made.fabric.setup(network, optim.make_optimiser(groups, phase.optimiser))
    wrapped.train()

    def step() -> None:
        optimiser.zero_grad()
        made.fabric.backward(wrapped(images).float().square().mean())
        if phase.optimiser.clip_norm:
            made.fabric.clip_gradients(wrapped, optimiser, max_norm=phase.optimiser.clip_norm, error_if_nonfinite=False)
        optimiser.step()

    return step, batch


if __name__ == "__main__":
    main()
