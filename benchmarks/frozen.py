"""What frozen parts cost: a frozen prefix that of inference, a wholly frozen encoder one encoding.

python -m benchmarks.frozen [--quick] [--repeats 5]

The step of phase 2 with its last block alone trainable, against the same network's inference and its whole training; an
epoch of phase 3 on vectors computed once, against one that encodes the images in each epoch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

import contrastive_cxr.engine.optim as optim
from benchmarks import record, timing
from benchmarks.subject import Subject, size, subject
from contrastive_cxr import phases
from contrastive_cxr.models import Network
from contrastive_cxr.run.log import MetricsLog


def main() -> None:
    """Measure both, write the result."""
    parser = record.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wanted, repeats = size(options.quick), 2 if options.quick else options.repeats
    with tempfile.TemporaryDirectory() as scratch:
        made = subject(Path(scratch), wanted, ["finetune.epochs=6", "finetune.validate_every=6"])
        figures = [*prefix(made, wanted.last_block, repeats), *head(made, repeats)]
    what = {"question": "What frozen parts cost", "size": vars(wanted), "words": options.words}
    record.write(options.result, "frozen", {**what, "figures": figures})


def prefix(made: Subject, last_block: str, repeats: int) -> list[record.Figure]:
    """Steps with everything trainable, with the last block and the projection alone, and inference."""
    works = {
        "whole": stepper(made, None),
        "last": stepper(made, (last_block, "projection")),
        "inference": inference(made),
        "tail": tail(made, last_block),
    }
    spent = timing.in_turn(works, repeats, made.device)
    least = [one + other for one, other in zip(spent["inference"], spent["tail"], strict=True)]
    figure = record.figure
    return [
        figure("frozen prefix: step over inference and the rest", timing.ratios(spent["last"], least), "", "<= 1.1"),
        figure("frozen prefix: times faster than training all", timing.ratios(spent["whole"], spent["last"])),
        *(figure(f"frozen prefix: {name}", [1000 * value for value in spent[name]], "ms") for name in spent),
    ]


def network_of(made: Subject, trainable: tuple[str, ...] | None) -> Network:
    """Phase 2's network on the device."""
    assert made.recipe.embed is not None, "the phantom recipe has a phase 2"
    network = made.setting("embed", "frozen").build("embed", projection=made.recipe.embed.projection)
    network.train_only(trainable)
    return network.to(made.device).to(memory_format=torch.channels_last)


def pictures(made: Subject) -> torch.Tensor:
    """One resident batch, float32 [B,1,S,S]."""
    assert made.recipe.pretrain is not None, "the phantom recipe has a phase 1"
    side = made.recipe.model.image_size
    return torch.rand(made.recipe.pretrain.batch_size, 1, side, side, device=made.device)


def stepper(made: Subject, trainable: tuple[str, ...] | None) -> Callable[[], None]:
    """Forward, backward, optimiser."""
    network, images = network_of(made, trainable), pictures(made)
    return trained(made, network, lambda model: model(images))


def trained(made: Subject, network: nn.Module, forward: Callable[[nn.Module], torch.Tensor]) -> Callable[[], None]:
    """A step of a network under the recipe's optimiser."""
    assert made.recipe.embed is not None, "the phantom recipe has a phase 2"
    settings = made.recipe.embed.optimiser
    groups = optim.parameter_groups([network], settings)
    wrapped, optimiser = made.fabric.setup(network, optim.make_optimiser(groups, settings))
    wrapped.train()

    def step() -> None:
        optimiser.zero_grad()
        made.fabric.backward(forward(wrapped).float().square().mean())
        optimiser.step()

    return step


def inference(made: Subject) -> Callable[[], torch.Tensor]:
    """The whole network without gradients."""
    network, images = network_of(made, None).eval(), pictures(made)

    def work() -> torch.Tensor:
        with torch.no_grad(), made.fabric.autocast():
            return network(images)  # type: ignore[no-any-return]

    return work


def tail(made: Subject, last_block: str) -> Callable[[], None]:
    """A step of the last block alone, on its resident input."""
    network, images = network_of(made, None), pictures(made)
    block = nn.Sequential(*network.blocks()[last_block])
    seen: list[torch.Tensor] = []
    hook = block[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        network(images)
    hook.remove()
    return trained(made, block, lambda model: model(seen[0]))


def head(made: Subject, repeats: int) -> list[record.Figure]:
    """An epoch of the head on vectors computed once, against one that encodes anew."""
    quick, naive = [], []
    rows = made.data.rows("train")
    for turn in range(repeats + 1):
        setting = made.setting("finetune", f"head-{turn}")
        phases.finetune(setting)
        epochs = MetricsLog(setting.folder / "timing.jsonl").rows()
        network = setting.build("finetune", projection=(512, 128), classes=made.data.classes).to(made.device)
        spent = timing.seconds(partial(setting.encode, network, setting.images(), rows), made.device)
        if turn:
            quick.append(float(np.median([row["train_seconds"] for row in epochs[1:]])))
            naive.append(spent + quick[-1])
    return [
        record.figure("phase 3: times faster than the naive epoch", timing.ratios(naive, quick), wanted=">= 50"),
        record.figure("phase 3: epoch on vectors", [1000 * value for value in quick], "ms"),
        record.figure("phase 3: naive epoch", [1000 * value for value in naive], "ms"),
    ]


if __name__ == "__main__":
    main()
