"""A loss or weights that are not finite: the training stops at that step, says why, and keeps what is good."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from contrastive_cxr import engine
from contrastive_cxr.engine.health.watch import Watch
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.recipe import schema
from tests.engine.tiny import POINTS, batches, spec

STEP = 7
ROWS = batches(1)[2]


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return engine.launch(schema.Runtime(device="cpu"))


def changed(part: engine.FitSpec, change: Callable[[engine.StepOutput], engine.StepOutput]) -> engine.FitSpec:
    """The phase with something done to what step 7, the third of epoch 2, gives."""

    def step(network: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        output = part.step(network, batch)
        return change(output) if batch.step == STEP else output

    return replace(part, step=step)


def stopped(fabric: Fabric, part: engine.FitSpec) -> tuple[str, dict[str, Any]]:
    """What was said, and what was written."""
    with pytest.raises(CcxrError) as caught:
        engine.fit(fabric, part)
    assert caught.value.exit_code == 1
    return str(caught.value), json.loads((part.folder / "not_finite.json").read_text())


def good_checkpoint(folder: Path, epoch: int, step: int) -> None:
    """Assert that `last.ckpt` is of this place and holds numbers alone."""
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert (state["progress"]["epoch"], state["progress"]["step"]) == (epoch, step)
    assert all(torch.isfinite(value).all() for value in state["parts"]["network"].values())


def infinite(output: engine.StepOutput) -> engine.StepOutput:
    return replace(output, loss=output.loss * float("inf"), values={"mined": float("inf")})


def test_it_stops_at_that_step_and_keeps_its_rows(tmp_path: Path, fabric: Fabric) -> None:
    whole = spec(tmp_path, fabric, describe=lambda rows: [{"path": f"{row}.png"} for row in rows])
    said, kept = stopped(fabric, changed(whole, infinite))
    assert "tiny: the loss is inf in epoch 2, step 8: the network's output is finite and the loss of it is not" in said
    assert "lower the learning rate (tiny.optimiser.lr is 0.02), clip harder (tiny.optimiser.clip_norm is 1)" in said
    assert f"'{tmp_path / 'not_finite.json'}'; '{tmp_path / 'checkpoints' / 'last.ckpt'}' is from before it" in said
    assert kept["rows"] == [{"path": f"{row}.png"} for row in ROWS]
    assert (kept["epoch"], kept["step"], kept["phase"], kept["precision"]) == (2, 8, "tiny", "32-true")
    assert kept["values"] == {"loss": "inf", "mined": "inf"}
    assert kept["weights_not_finite"] == kept["rows_not_finite"] == []
    assert len(kept["losses_before"]) == STEP
    assert np.isfinite(kept["losses_before"]).all()
    # cosine after a warm-up of one epoch of five updates
    assert kept["learning_rate"] == pytest.approx(0.02 * (1 + np.cos(np.pi * 2 / 10)) / 2)
    assert kept["gradient_norm"] in ("inf", "nan")
    good_checkpoint(tmp_path, epoch=1, step=0)


def test_the_former_finding_goes_when_the_training_goes_on(tmp_path: Path, fabric: Fabric) -> None:
    whole = spec(tmp_path, fabric)
    stopped(fabric, changed(whole, infinite))
    engine.fit(fabric, spec(tmp_path, fabric), resume=True)
    assert not (tmp_path / "not_finite.json").exists()


def test_an_image_that_is_nan_is_named(tmp_path: Path, fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = int(ROWS[4])
    points = POINTS.clone()
    points[bad, 3] = float("nan")
    monkeypatch.setattr("tests.engine.tiny.POINTS", points)
    clean = [part for part in batches(0) if bad not in part]
    said, kept = stopped(fabric, spec(tmp_path, fabric, batches=lambda epoch: [*clean[:2], ROWS]))
    assert f"1 of the batch's images went into the network as NaN or infinity (rows {bad})" in said
    assert (kept["step"], kept["rows_not_finite"]) == (3, [bad])


def test_a_module_that_overflows_is_named(tmp_path: Path, fabric: Fabric) -> None:
    class Overflow(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values / 0 if self.training and float(values.abs().max()) > 0 else values

    part = spec(tmp_path, fabric)
    part.network.insert(2, Overflow())
    said, kept = stopped(fabric, part)
    assert "in epoch 1, step 1: the output of 2 overflowed on a batch that was finite" in said
    assert kept["first_module_not_finite"] == "2"
    assert "there is no checkpoint from before it" in said


def test_a_loss_that_ran_away_is_told_from_one_that_jumped(tmp_path: Path, fabric: Fabric) -> None:
    sgd = schema.Optimiser(name="sgd", lr=1.0)
    plain = spec(tmp_path, fabric, optimiser=sgd, schedule=schema.Schedule(), choose_by="last", validate=None)

    def step(network: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        return engine.StepOutput(plain.step(network, batch).loss * 100.0**batch.step)

    said, kept = stopped(fabric, replace(plain, step=step, summarise=None, epochs=40))
    assert "the loss ran away before" in said or "an update broke them" in said
    assert kept["losses_before"][-1] > 10 * np.median(kept["losses_before"])


def test_weights_that_an_update_broke_are_not_saved(tmp_path: Path, fabric: Fabric) -> None:
    """The loss of step 7 is finite and its gradient is not: the next save would hold NaNs."""

    def steep(output: engine.StepOutput) -> engine.StepOutput:
        zero = (output.loss - output.loss.detach()).square()  # 0, with the gradient of a square root at 0
        return replace(output, loss=output.loss + zero.sqrt())

    part = changed(spec(tmp_path, fabric, checkpoint_minutes=1e-9), steep)
    said, kept = stopped(fabric, part)
    assert "weights are not finite in epoch 2, step 8: " in said
    assert "so an update broke them" in said
    assert kept["weights_not_finite"][0] == "0.weight"
    assert np.isfinite(kept["values"]["loss"])
    good_checkpoint(tmp_path, epoch=1, step=2)
    best = list((tmp_path / "checkpoints").glob("best-*.ckpt"))
    assert all(torch.isfinite(value).all() for value in torch.load(best[0], weights_only=True)["network"].values())


def test_where_values_are_read_late_the_first_step_is_named(tmp_path: Path, fabric: Fabric) -> None:
    """As on a GPU: steps 7 and 8 are noted on the device, and read two steps later."""
    part = spec(tmp_path, fabric)
    loop = engine.fit.__globals__["Loop"](fabric, part, False)
    watch: Watch = loop.watch
    for step, loss in ((5, 0.5), (6, 0.5), (7, float("nan")), (8, float("nan"))):
        watch.note(torch.tensor([loss], dtype=torch.float64), step)
    rows = batches(1)[4]
    batch = engine.Batch(rows, rows, 1, 9, slice(0, 6))
    values = torch.tensor([float("nan")], dtype=torch.float64)
    with pytest.raises(CcxrError, match="the loss is nan in epoch 2, step 8"):
        watch.read(["loss"], values, batch, 4)
    kept = json.loads((tmp_path / "not_finite.json").read_text())
    assert [line["row"] for line in kept["rows"]] == list(ROWS)
    assert kept["looked_at_updates_later"] == 2
