"""A small phase to train: points, a network with everything that has a state, and a memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr import engine
from contrastive_cxr.recipe import schema

POINTS = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
LABELS = (POINTS[:, 0] > 0).long()


class Memory(nn.Module):
    """A loss with a state: the mean of past outputs is drawn near."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("past", torch.zeros(2))

    def forward(self, outputs: Tensor) -> Tensor:
        loss = (outputs.mean(0) - self.past).square().sum()
        self.past = 0.5 * self.past + outputs.detach().mean(0)
        return loss


def batches(epoch: int) -> list[NDArray[np.int64]]:
    order = np.random.default_rng(epoch).permutation(30)
    return [order[start : start + 6] for start in range(0, 30, 6)]


def spec(folder: Path, fabric: Fabric, **changes: Any) -> engine.FitSpec:
    """Five steps an epoch, three epochs."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))
    memory = Memory()
    optimiser = changes.pop("optimiser", schema.Optimiser(name="adamw", lr=0.02, weight_decay=0.1, clip_norm=1.0))

    def step(model: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        logits = model(POINTS[batch.rows])
        loss = nn.functional.cross_entropy(logits, LABELS[batch.rows]) + 0.1 * memory(logits)
        mined = float("nan") if batch.step % 2 else float(batch.step)
        return engine.StepOutput(loss, {"mined": mined}, {"logits": logits, "rows": torch.from_numpy(batch.rows)})

    def validate(model: nn.Module, epoch: int) -> dict[str, float]:
        logits = engine.encode(fabric, model, np.arange(30), 7, POINTS.__getitem__, network=model)
        return {
            "loss": float(nn.functional.cross_entropy(torch.from_numpy(logits), LABELS)),
            "noise": float(torch.rand(())),
        }

    def summarise(kept: dict[str, NDArray[Any]]) -> dict[str, float]:
        right = kept["logits"].argmax(1) == LABELS.numpy()[kept["rows"]]
        return {"accuracy": float(right.mean()), "seen": float(len(kept["rows"]))}

    parts: dict[str, Any] = {
        "name": "tiny",
        "folder": folder,
        "seed": 5,
        "network": network,
        "parameter_groups": engine.parameter_groups([network], optimiser),
        "optimiser": optimiser,
        "schedule": schema.Schedule(name="cosine", warmup_epochs=1),
        "epochs": 3,
        "batches": batches,
        "step": step,
        "objective": memory,
        "summarise": summarise,
        "validate": validate,
        "choose_by": "loss",
        "log_every": 2,
    }
    return engine.FitSpec(**{**parts, **changes})
