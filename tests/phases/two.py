"""What a test does in one process and in two: steps of phase 2 as the recipe's words make them, in float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from contrastive_cxr import engine
from contrastive_cxr.augment import Choice
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.manifest import Manifest
from contrastive_cxr.data.squares import Squares
from contrastive_cxr.engine import Batch, Fabric
from contrastive_cxr.engine.fabric import share
from contrastive_cxr.phases import PhaseContext
from contrastive_cxr.phases.context import Views
from contrastive_cxr.phases.embed import ContrastiveStep, epoch_batches
from contrastive_cxr.phases.mixing import Mixing
from contrastive_cxr.phases.supervised import ClassStep
from contrastive_cxr.recipe import Augment, schema
from contrastive_cxr.recipe.mix import Mix
from contrastive_cxr.run.tracking import Tracker
from contrastive_cxr.tasks import Task

IMAGES, VALIDATION = 41, 9  # neither of them divisible by two
MIXED = schema.Pretrain(augment="xray", mix=Mix(mixup=0.4, cutmix=1.0), batch_size=8, imbalance="class-weights")


class Doubled(nn.Module):
    """The network in float64; its embedding alone is float32, as everywhere."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.double())  # type: ignore[no-any-return]


def data() -> Dataset:
    """Squares of noise in two classes, with patients of three images each."""
    rng = np.random.default_rng(0)
    rows = np.arange(IMAGES)
    blank = pd.DataFrame({name: [""] * IMAGES for name in ("path", "root", "label", "patient", "split", "source")})
    return Dataset(
        manifest=Manifest(blank),
        task=Task(name="two", columns=("label",), classes={"a": ("a",), "b": ("b",)}),
        labels=rows % 2,
        patients=rows // 3,
        split=np.where(rows < IMAGES - VALIDATION, "train", "val"),
        images=Squares(rng.integers(0, 256, (IMAGES, 1, 32, 32), dtype=np.uint8), rows),
        facts=pd.DataFrame(),
        mean=0.5,
        std=0.3,
        skipped=pd.DataFrame(),
    )


def recipe() -> schema.Recipe:
    """cnn3 has no batch norm; positives are of the class and augmented; a memory of past batches."""
    embed = schema.Embed(
        images_per_class=4,
        positives="both",
        loss="supcon",
        augment="xray",
        memory_bank_size=24,
        projection=(8,),
        epochs=1,
        positive_augment=Augment(set="strong", aspect=0.2, gamma=0.3, noise=0.05, resolution=(0.5, 0.9)),
    )
    model = schema.Model(backbone="cnn3", image_size=32)
    return schema.Recipe(name="two", seed=3, task=data().task, model=model, embed=embed)


def train(fabric: Fabric, folder: Path) -> dict[str, Any]:
    """Four steps: what each process drew, its gradients, its losses, its memory; and the validation's numbers."""
    torch.manual_seed(fabric.global_rank)  # nothing may come from the global generator
    setting = PhaseContext(recipe(), data(), fabric, folder, None, Tracker())
    phase = setting.recipe.embed
    assert phase is not None
    network = setting.build("embed", projection=phase.projection)
    step = ContrastiveStep(setting, phase)
    own = step.views

    def part_of_the_whole(batch: Batch, choice: Choice, purpose: str) -> Tensor:
        """A part of a batch may be blurred by another kernel than the whole; its last digits then differ."""
        rows = batch.global_rows
        return own(replace(batch, rows=rows, rank_slice=slice(0, len(rows))), choice, purpose)[batch.rank_slice]

    step.views = part_of_the_whole  # type: ignore[assignment]
    wrapped, optimiser = fabric.setup(Doubled(network), torch.optim.SGD(network.parameters(), 0.5))
    found: dict[str, Any] = {"gradients": [], "losses": [], "draws": [], "strong": []}
    for index, rows in enumerate(epoch_batches(phase, setting.data, setting.recipe.seed, 0)):
        mine = share(fabric, len(rows))
        batch = Batch(rows[mine], rows, 0, index, mine)
        output = step(wrapped, batch)
        fabric.backward(output.loss)
        found["gradients"].append([p.grad.clone() for p in network.parameters()])
        found["losses"].append(output.loss.item())
        found["draws"].append(engine.gather(fabric, own(batch, "xray", "augment")))
        found["strong"].append(engine.gather(fabric, own(batch, phase.positive_augment, "positive")))
        optimiser.step()
        optimiser.zero_grad()
    found["memory"] = step.compare.objective.state_dict()
    found["mixed"], found["mixed_losses"] = mixed(setting, fabric)
    network.float()
    found["validation"] = setting.encode(network, step.images, setting.data.rows("val")).tolist()
    return found


def mixed(setting: PhaseContext, fabric: Fabric) -> tuple[list[Tensor], list[float]]:
    """Pictures of the global batch and its loss, of a supervised step with mixup and cutmix."""
    mixing = Mixing(Views(setting, "pretrain", MIXED, setting.images()), MIXED)

    def logits(network: nn.Module, batch: Batch) -> Tensor:
        return mixing.pictures(batch).flatten(1)[:, 500:502]

    step = ClassStep(MIXED, setting.data, torch.device("cpu"), logits, mixing.draw)
    pictures, losses = [], []
    for index in range(4):
        rows = np.random.default_rng(index).permutation(IMAGES - VALIDATION)[:8]
        mine = share(fabric, len(rows))
        batch = Batch(rows[mine], rows, 0, index, mine)
        pictures.append(engine.gather(fabric, mixing.pictures(batch)))
        losses.append(float(engine.gather(fabric, step(nn.Identity(), batch).loss[None]).mean()))
    return pictures, losses


def check(folder: Path, alone: dict[str, Any]) -> None:
    """What two processes left in `folder` is what one does."""
    two = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert len(alone["draws"]) == 4
    assert not torch.equal(alone["draws"][0], alone["draws"][1])
    assert any((gradient.abs() > 1e-3).any() for gradient in alone["gradients"][0])
    assert (alone["memory"]["memory.labels"] >= 0).all(), "16 a step fill 24 places"
    wanted = torch.tensor(alone["validation"])
    assert wanted.shape == (VALIDATION, 8)
    for found in two:
        assert all(torch.equal(*pair) for pair in zip(found["draws"], alone["draws"], strict=True)), (
            "other augmentation"
        )
        assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(found["strong"], alone["strong"], strict=True)), (
            "other strong views"
        )
        assert all(torch.allclose(*pair, atol=1e-6) for pair in zip(found["mixed"], alone["mixed"], strict=True))
        assert found["mixed_losses"] == pytest.approx(alone["mixed_losses"], abs=1e-6)
        assert found["losses"] == pytest.approx(alone["losses"], abs=1e-6)
        for here, there in zip(found["gradients"], alone["gradients"], strict=True):
            for mine, other in zip(here, there, strict=True):
                assert mine.dtype == torch.float64
                gap = float((mine - other).abs().max())
                assert gap <= 1e-10, f"{gap} of {float(other.abs().max())}"
        assert found["memory"].keys() == alone["memory"].keys()
        for name, value in alone["memory"].items():
            assert torch.allclose(found["memory"][name], value, rtol=0, atol=1e-6), name
        assert torch.allclose(torch.tensor(found["validation"]), wanted, rtol=0, atol=1e-6), "each image once, in order"
