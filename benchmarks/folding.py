"""Batch norm folded into convolutions against batch norm where it stands: images a second of inference on the CPU.

python -m benchmarks.folding [--quick] [--repeats 7] [--pixels 128]

Features of the networks of the light and the full recipes and of a ResNet, random weights (they do not matter to the
speed), float32, channels last, freed memory kept as in the recipes; in turn, on one batch of 64.
"""

from __future__ import annotations

from functools import partial

import torch

from benchmarks import record, timing
from contrastive_cxr.engine.allocator import keep_freed_memory
from contrastive_cxr.models import build, folded
from contrastive_cxr.recipe import schema

NETWORKS = ("timm/tf_efficientnet_lite0", "resnet18", "densenet169")


def main() -> None:
    """Measure each network, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--pixels", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    images, repeats = torch.rand(64, 1, options.pixels, options.pixels), 2 if options.quick else options.repeats
    figures = [line for name in NETWORKS[: 1 if options.quick else None] for line in measured(name, images, repeats)]
    what = {"question": "Batch norm folded into convolutions, to score on a CPU", "words": options.words}
    record.write(options.result, "folding", {**what, "figures": figures})


@torch.inference_mode()
def measured(name: str, images: torch.Tensor, repeats: int) -> list[record.Figure]:
    """The figures of one network."""
    made = {}
    for word in ("plain", "folded"):
        model = schema.Model(backbone=name, image_size=images.shape[-1], weights="none")
        made[word] = build(model, mean=0.5, std=0.25, seed=0).to(memory_format=torch.channels_last).eval()
    norms = folded.fold(made["folded"], lambda: made["folded"].features(images[:8]))
    apart = (made["folded"].features(images) - made["plain"].features(images)).abs().max()
    work = {word: partial(network.features, images) for word, network in made.items()}
    spent = timing.in_turn(work, repeats, images.device)
    return [
        record.figure(f"{name}: folded, times as fast", timing.ratios(spent["plain"], spent["folded"])),
        record.figure(f"{name}: plain", [len(images) / each for each in spent["plain"]], "images/s"),
        record.figure(f"{name}: batch norms folded", norms),
        record.figure(f"{name}: largest difference of a feature", float(apart)),
    ]


if __name__ == "__main__":
    main()
