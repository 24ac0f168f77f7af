"""Which checkpoints a phase keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from contrastive_cxr import engine
from contrastive_cxr.recipe import schema
from tests.engine.tiny import spec

SCORES = [0.1, 0.2, 0.15, 0.3, 0.4, 0.35]
BESTS = [1, 2, 4, 5]
"""Epochs that were the best so far."""


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return engine.launch(schema.Runtime(device="cpu"))


def trained(folder: Path, fabric: Fabric, **limits: float) -> tuple[list[int], int, int]:
    """The epochs whose checkpoints are left; bytes of one of them, and of `last.ckpt`."""

    def validate(network: nn.Module, epoch: int) -> dict[str, float]:
        return {"auc": SCORES[epoch]}

    part = spec(folder, fabric, epochs=len(SCORES), choose_by="auc", validate=validate, **limits)
    assert engine.fit(fabric, part).best_epoch == BESTS[-1]
    found = {int(path.stem.removeprefix("best-")): path for path in (folder / "checkpoints").glob("best-*.ckpt")}
    return sorted(found), found[BESTS[-1]].stat().st_size, (folder / "checkpoints" / "last.ckpt").stat().st_size


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_by_count_the_newest_best_ones(tmp_path: Path, fabric: Fabric, count: int) -> None:
    assert trained(tmp_path, fabric, keep_checkpoints=count)[0] == BESTS[-count:]


def test_by_size_the_oldest_go_and_the_chosen_one_stays(tmp_path: Path, fabric: Fabric) -> None:
    _, best, last = trained(tmp_path / "all", fabric, keep_checkpoints=9)
    for room, left in ((0, 1), (1.5, 1), (2.5, 2)):
        limit = (last + room * best) / 2**20
        kept, _, _ = trained(tmp_path / f"{room}", fabric, keep_checkpoints=9, checkpoint_mib=limit)
        assert kept == BESTS[-left:], f"room for {room} beside last.ckpt"


def test_a_best_checkpoint_that_last_does_not_name_goes_at_a_resume(tmp_path: Path, fabric: Fabric) -> None:
    """As left by a kill between the writing of the two: the epoch is trained again, and judged again."""
    trained(tmp_path, fabric, keep_checkpoints=9)
    checkpoints = tmp_path / "checkpoints"
    torch.save({"network": {}}, checkpoints / "best-77.ckpt")
    part = spec(tmp_path, fabric, epochs=len(SCORES), choose_by="auc", validate=lambda network, epoch: {"auc": 0.0})
    engine.fit(fabric, part, resume=True)
    assert not (checkpoints / "best-77.ckpt").exists()
    assert (checkpoints / f"best-{BESTS[-1]}.ckpt").exists()
