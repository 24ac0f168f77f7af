"""What a test does in one process and in two: training by a loss of all pairs of the gathered batch, in float64."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from contrastive_cxr import engine
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from tests.engine.tiny import LABELS, POINTS, spec


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def contrast(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A loss of all pairs of the batch: not the mean of its parts' losses."""
    return ((vectors @ vectors.T - (labels[:, None] == labels[None]).double()) ** 2).mean().sqrt()


def train(fabric: engine.fabric.Fabric, folder: Path, head_epochs: int = 0) -> nn.Module:
    """Three epochs of a loss over the gathered batch, in the first `head_epochs` of the last layer alone."""
    network = build()
    optimiser = schema.Optimiser(name="adamw" if head_epochs else "sgd", lr=0.1, clip_norm=1.0)
    below = [{**each, "from_epoch": head_epochs} for each in engine.parameter_groups([network[0]], optimiser)]
    groups = [*below, *engine.parameter_groups([network[2]], optimiser)]

    def step(model: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        vectors = engine.gather(fabric, model(POINTS[batch.rows].double()))
        loss = contrast(vectors, LABELS[batch.global_rows])
        own = float(batch.rows.sum())
        return engine.StepOutput(loss, {"own": own}, {"rows": torch.from_numpy(batch.rows)})

    def summarise(kept: dict[str, np.ndarray]) -> dict[str, float]:
        return {"order": float((kept["rows"] * np.arange(1, 1 + len(kept["rows"]))).sum())}

    def validate(model: nn.Module, epoch: int) -> dict[str, float]:
        found = engine.encode(fabric, model, np.arange(29), 4, lambda rows: POINTS[rows].double(), network=model)
        return {"auc": float((found * np.arange(1, 30)[:, None]).sum())}

    engine.fit(
        fabric,
        engine.FitSpec(
            name="two",
            folder=folder,
            seed=0,
            network=network,
            parameter_groups=groups if head_epochs else engine.parameter_groups([network], optimiser),
            optimiser=optimiser,
            schedule=schema.Schedule(),
            epochs=3,
            batches=lambda epoch: np.split(np.random.default_rng(epoch).permutation(24), 4),
            step=step,
            summarise=summarise,
            validate=validate,
            choose_by="auc",
            average=0.5,
            accumulate=2,
            log_every=1,
        ),
    )
    return network


def work(fabric: engine.Fabric, folder: Path) -> None:
    """As one of two processes: gradients of half a batch, a training, and a batch that cannot be shared."""
    network = fabric.setup(build())
    half = slice(fabric.global_rank * 6, fabric.global_rank * 6 + 6)
    fabric.backward(contrast(engine.gather(fabric, network(POINTS[half].double())), LABELS[:12]))
    torch.save([p.grad for p in network.parameters()], folder / f"gradients{fabric.global_rank}.pt")
    trained = train(fabric, folder / "run")
    torch.save(trained.state_dict(), folder / f"weights{fabric.global_rank}.pt")
    torch.save(train(fabric, folder / "head", 2).state_dict(), folder / f"head{fabric.global_rank}.pt")
    try:
        engine.fit(fabric, spec(folder / "odd", fabric, batches=lambda epoch: [range(5)]))
    except RequestError as error:
        (folder / f"refused{fabric.global_rank}").write_text(str(error))


def check(folder: Path, alone_in: Path) -> None:
    """What two processes left in `folder` is what one does."""
    for rank in range(2):
        said = (folder / f"refused{rank}").read_text()
        assert "a batch of 5 images cannot be shared equally by 2 processes" in said

    network = build()
    contrast(network(POINTS[:12].double()), LABELS[:12]).backward()
    for rank in range(2):
        gradients = torch.load(folder / f"gradients{rank}.pt", weights_only=True)
        for found, parameter in zip(gradients, network.parameters(), strict=True):
            assert torch.allclose(found, parameter.grad, rtol=0, atol=1e-10)

    fabric = engine.launch(schema.Runtime(device="cpu"))
    for name, head_epochs, place in (("weights", 0, alone_in), ("head", 2, alone_in.with_name("alone-head"))):
        alone = train(fabric, place, head_epochs)
        for rank in range(2):
            weights = torch.load(folder / f"{name}{rank}.pt", weights_only=True)
            for word, value in alone.state_dict().items():
                assert torch.allclose(weights[word], value, rtol=0, atol=1e-10), f"{name}: {word}"

    pairs = zip(*((run / "metrics.jsonl").read_text().splitlines() for run in (folder / "run", alone_in)), strict=True)
    for one, other in pairs:
        two_rows, one_rows = json.loads(one), json.loads(other)
        if "own" in one_rows:
            one_rows["own"] /= 2  # each process saw half of the batch, and their mean is logged
        assert two_rows.keys() == one_rows.keys()
        assert all(two_rows[name] == pytest.approx(value, abs=1e-6) for name, value in one_rows.items())
