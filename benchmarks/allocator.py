"""What it brings that freed memory is kept: training steps on the CPU with glibc's own thresholds and with ours.

python -m benchmarks.allocator [--quick] [--repeats 5] [--threads 1]

Each measurement is a process of its own (the setting cannot be taken back), the two in turn. A step is forward, loss,
backward and AdamW of a network of this package at 128 pixels, on 32 images. Images a second of CPU time count, as other
work on the machine disturbs them least; wall time stands beside. The peak is of the whole process, after further steps
at growing sides and a forward pass of 256 images, so that blocks of many sizes come and go.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import record, timing
from contrastive_cxr import models
from contrastive_cxr.engine import make_optimiser
from contrastive_cxr.engine.allocator import keep_freed_memory
from contrastive_cxr.recipe import schema

BATCH = 32


@dataclass(frozen=True)
class Subject:
    """A backbone, its precision, and what is wanted: our images a second of CPU time over the plain ones."""

    backbone: str
    half: bool
    steps: int
    wanted: str | None


SUBJECTS = {
    "EfficientNet-Lite0": Subject("timm/tf_efficientnet_lite0", False, 8, ">= 1.1"),
    "DenseNet-169, bf16": Subject("densenet169", True, 3, None),
}


def main() -> None:
    """Measure the two in turn, write the result; or, with --subject, be one measurement."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--subject", choices=SUBJECTS)
    parser.add_argument("--kept", action="store_true", help="keep freed memory (with --subject)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.subject:
        record.say(json.dumps(measured(SUBJECTS[options.subject], options)))
        return
    figures = [figure for name in SUBJECTS for figure in compared(name, options)]
    question = "How much faster a training step on the CPU is where freed memory is kept, and at which peak"
    record.write(options.result, "allocator", {"question": question, "words": options.words, "figures": figures})


def compared(name: str, options: argparse.Namespace) -> list[record.Figure]:
    """The figures of one network, both ways measured in turn."""
    words = ["--subject", name, *(["--quick"] if options.quick else [])]
    plain, kept = [], []
    for _ in range(1 if options.quick else options.repeats):
        plain.append(timing.in_process("allocator", words, options.threads))
        kept.append(timing.in_process("allocator", [*words, "--kept"], options.threads))
    assert {each["loss"] for each in plain} == {each["loss"] for each in kept}, "where memory lies changes no value"

    def ratio(key: str) -> list[float]:
        return timing.ratios([each[key] for each in kept], [each[key] for each in plain])

    return [
        record.figure(
            f"{name}: images per second of CPU time, glibc's own", [each["cpu"] for each in plain], "images/s"
        ),
        record.figure(f"{name}: times faster by CPU time", ratio("cpu"), wanted=SUBJECTS[name].wanted),
        record.figure(f"{name}: times faster by the clock", ratio("wall")),
        record.figure(f"{name}: page faults a step, glibc's own", [each["faults"] for each in plain]),
        record.figure(f"{name}: page faults a step, kept", [each["faults"] for each in kept]),
        record.figure(f"{name}: peak memory, times glibc's own", ratio("peak"), wanted="<= 1.15"),
    ]


def measured(subject: Subject, options: argparse.Namespace) -> dict[str, object]:
    """One measurement: images a second of CPU and wall time, page faults a step, peak (MiB), the last loss."""
    import resource

    if options.kept and not keep_freed_memory():
        raise SystemExit("the C library took no setting; this benchmark needs glibc and no MALLOC_ variables")
    side, steps = (64, 2) if options.quick else (128, subject.steps)
    network, step = training(subject, side)
    for _ in range(2):
        step(side)
    before, begun, spent = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), time.process_time()
    for _ in range(steps):
        loss = step(side)
    wall, cpu = time.perf_counter() - begun, time.process_time() - spent
    after = resource.getrusage(resource.RUSAGE_SELF)
    for smaller in range(32, side + 1, 32):
        step(smaller)
    with torch.no_grad():
        network.eval().logits(torch.rand(64 if options.quick else 256, 1, side, side))
    return {
        "cpu": BATCH * steps / cpu,
        "wall": BATCH * steps / wall,
        "faults": (after.ru_minflt - before.ru_minflt) / steps,
        "peak": timing.memory("VmHWM"),
        "loss": loss.hex(),
    }


def training(subject: Subject, side: int) -> tuple[models.Network, Callable[[int], float]]:
    """A network and its step on random images of a given side, which gives the loss."""
    model = schema.Model(backbone=subject.backbone, image_size=side)
    network = models.build(model, classes=3, mean=0.5, std=0.5, seed=0)
    optimiser = make_optimiser([{"params": list(network.parameters())}], schema.Optimiser())
    rng = torch.Generator().manual_seed(0)
    images, labels = torch.rand(BATCH, 1, side, side, generator=rng), torch.arange(BATCH) % 3

    def step(inner: int) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=subject.half):
            scores: Tensor = network.logits(images[..., :inner, :inner])
        loss = functional.cross_entropy(scores.float(), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return network, step


if __name__ == "__main__":
    main()
