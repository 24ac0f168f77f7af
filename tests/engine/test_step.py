"""One training step, worked out by hand on a linear network with one weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contrastive_cxr import engine
from contrastive_cxr.engine.state import TrainState
from contrastive_cxr.engine.step import TrainStep
from contrastive_cxr.recipe import schema

INPUTS = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
STEPS = 3  # the second update has one batch alone


def train_step(folder: Path, clip_norm: float, average: float = 0.0) -> TrainStep:
    """The loss is the mean output, so the gradient of a batch is the mean of its inputs; two batches an update."""
    fabric = engine.launch(schema.Runtime(device="cpu", precision="32-true"))
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    optimiser = schema.Optimiser(name="sgd", lr=0.1, momentum=0.0, weight_decay=0.0, clip_norm=clip_norm)
    spec = engine.FitSpec(
        name="tiny", folder=folder, seed=0, network=network, optimiser=optimiser, epochs=1,
        parameter_groups=engine.parameter_groups([network], optimiser), schedule=schema.Schedule(name="constant"),
        batches=lambda epoch: [[0, 1], [2, 3], [4]], accumulate=2, average=average,
        step=lambda model, batch: engine.StepOutput(model(INPUTS[batch.rows]).mean()),
    )  # fmt: skip
    return TrainStep(fabric, spec, TrainState(fabric, spec), STEPS)


def run(step: TrainStep) -> list[float]:
    """The weight after each of the three batches."""
    weights = []
    for index, rows in enumerate(([0, 1], [2, 3], [4])):
        part = np.array(rows)
        step.backward(engine.Batch(part, part, 0, index, slice(0, len(part))), index)
        if step.ends_update(index):
            step.update(0, index)
        weights.append(float(step.parts.network.weight))
    return weights


def test_an_update_takes_the_mean_gradient_of_its_batches(tmp_path: Path) -> None:
    step = train_step(tmp_path, clip_norm=0.0)
    assert [step.ends_update(index) for index in range(STEPS)] == [False, True, True]
    # mean gradients: (1.5 + 3.5) / 2 and 5
    assert run(step) == pytest.approx([1.0, 1 - 0.1 * 2.5, 1 - 0.1 * 2.5 - 0.1 * 5])


def test_the_gradient_is_clipped_and_the_average_follows(tmp_path: Path) -> None:
    step = train_step(tmp_path, clip_norm=1.0, average=0.9)
    first, second = 1 - 0.1, 1 - 0.2
    assert run(step) == pytest.approx([1.0, first, second])
    kept = min(0.9, (1 + 1) / (10 + 1))  # the first update copies the weights, the second one is number 1
    assert float(step.parts.chosen.weight) == pytest.approx(kept * first + (1 - kept) * second)


def test_the_rate_belongs_to_the_update(tmp_path: Path) -> None:
    step = train_step(tmp_path, clip_norm=0.0)
    warm = step.spec.__class__(**{**vars(step.spec), "schedule": schema.Schedule(name="constant", warmup_epochs=1)})
    rates = [TrainStep(step.fabric, warm, step.parts, STEPS).rate(0, index) for index in range(STEPS)]
    assert rates == pytest.approx([1 / 3, 1 / 3, 2 / 3]), "two updates of warm-up: both batches of the first share it"
