"""The loop: what it computes, keeps, chooses; how it stops and goes on."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from contrastive_cxr import engine
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.run import seeds
from contrastive_cxr.run.log import MetricsLog
from tests.engine.tiny import LABELS, POINTS, batches, spec


class Killed(Exception):
    """Stands for SIGKILL: nothing of the loop answers it."""


@pytest.fixture(scope="module")
def fabric() -> Fabric:
    return engine.launch(schema.Runtime(device="cpu"))


def outcome(fitted: engine.FitSpec) -> dict[str, Any]:
    """What must be the same after an interruption."""
    return {
        "weights": {name: value.numpy().tobytes() for name, value in fitted.network.state_dict().items()},
        "memory": fitted.objective.state_dict()["past"].numpy().tobytes(),
        "metrics": (fitted.folder / "metrics.jsonl").read_bytes(),
        "checkpoints": sorted(path.name for path in (fitted.folder / "checkpoints").iterdir()),
    }


def rows(fitted: engine.FitSpec, split: str) -> list[dict[str, Any]]:
    return [row for row in MetricsLog(fitted.folder / "metrics.jsonl").rows() if row["split"] == split]


def before_step(step: int, act: Callable[[], None], whole: engine.FitSpec) -> engine.FitSpec:
    """The same phase, in which something happens at the beginning of a step."""

    def acting(network: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        if batch.step == step:
            act()
        return whole.step(network, batch)

    return replace(whole, step=acting)


def kill() -> None:
    raise Killed


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)  # in this thread, where os.kill leaves it to any of them
    time.sleep(0.01)  # python's own handler runs between two instructions, and two signals before it would be one


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "average": {"average": 0.9},
    "accumulate": {"accumulate": 2, "average": 0.9, "schedule": schema.Schedule(name="one-cycle")},
    "sgd-last": {"choose_by": "last", "optimiser": schema.Optimiser(name="sgd", lr=0.1)},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_killed_anywhere_and_resumed_is_uninterrupted(tmp_path: Path, fabric: Fabric, setting: str) -> None:
    changes = {**SETTINGS[setting], "checkpoint_minutes": 1e-9}
    whole = spec(tmp_path / "whole", fabric, **changes)
    result = engine.fit(fabric, whole)
    for step in (0, 2, 4, 5, 8, 14):
        part = spec(tmp_path / f"{step}", fabric, **changes)
        with pytest.raises(Killed):
            engine.fit(fabric, before_step(step, kill, part))
        torch.manual_seed(99)
        again = spec(tmp_path / f"{step}", fabric, **changes)
        found = engine.fit(fabric, again, resume=True)
        assert outcome(again) == outcome(whole), f"killed before step {step}"
        measured: dict[str, Any] = {"seconds": 0, "peak_memory_mib": 0}
        assert replace(found, **measured) == replace(result, **measured)


def test_killed_in_a_validation(tmp_path: Path, fabric: Fabric) -> None:
    whole = spec(tmp_path / "whole", fabric)
    engine.fit(fabric, whole)
    part = spec(tmp_path / "part", fabric)

    def validate(network: nn.Module, epoch: int) -> dict[str, float]:
        if epoch == 2:
            raise Killed
        return part.validate(network, epoch)

    with pytest.raises(Killed):
        engine.fit(fabric, replace(part, validate=validate))
    engine.fit(fabric, part, resume=True)
    assert outcome(part) == outcome(whole)


@pytest.mark.parametrize("step", [0, 4, 7, 14])
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, fabric: Fabric, step: int) -> None:
    whole = spec(tmp_path / "whole", fabric, checkpoint_minutes=0)
    engine.fit(fabric, whole)
    before = signal.getsignal(signal.SIGINT)
    part = spec(tmp_path / "part", fabric, checkpoint_minutes=0)
    with pytest.raises(engine.Interrupted, match=rf"after {step + 1} of 15 steps; .* --resume"):
        engine.fit(fabric, before_step(step, interrupt, part))
    assert signal.getsignal(signal.SIGINT) is before
    again = spec(tmp_path / "part", fabric, checkpoint_minutes=0)
    # nothing done is done again
    engine.fit(fabric, before_step(step, kill, again), resume=True)
    assert outcome(again) == outcome(whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_in_a_validation_is_answered_there(tmp_path: Path, fabric: Fabric, number: signal.Signals) -> None:
    whole = spec(tmp_path / "whole", fabric)
    engine.fit(fabric, whole)
    part = spec(tmp_path / "part", fabric)
    after: list[int] = []

    def validate(network: nn.Module, epoch: int) -> dict[str, float]:
        if epoch == 1:
            signal.raise_signal(number)
            signal.raise_signal(number)  # as a scheduler does, to a process and then to its group
            after.append(epoch)
        return part.validate(network, epoch)

    with pytest.raises(engine.Interrupted, match="after 10 of 15 steps") as caught:
        engine.fit(fabric, replace(part, validate=validate))
    assert caught.value.exit_code == 128 + number
    assert not after, "the validation went on"
    # no step is done again
    engine.fit(fabric, before_step(9, kill, part), resume=True)
    assert outcome(part) == outcome(whole)


def test_a_signal_in_the_last_step_is_answered_before_the_validation(tmp_path: Path, fabric: Fabric) -> None:
    part = spec(tmp_path / "part", fabric, validate=None, choose_by="last")
    part = replace(part, validate=lambda network, epoch: pytest.fail("validated"))
    with pytest.raises(engine.Interrupted, match="after 5 of 15 steps"):
        engine.fit(fabric, before_step(4, interrupt, part))


def test_a_second_sigterm_waits_for_the_first_ones_answer(tmp_path: Path, fabric: Fabric) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(engine.Interrupted, match="after 8 of 15 steps"):
        engine.fit(fabric, before_step(7, twice, spec(tmp_path, fabric)))


def test_a_second_ctrl_c_is_not_caught(tmp_path: Path, fabric: Fabric) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    # a shell that starts the tests in the background leaves Ctrl-C ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            engine.fit(fabric, before_step(7, twice, spec(tmp_path, fabric)))
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_loop_is_the_plain_loop(tmp_path: Path, fabric: Fabric) -> None:
    """Two accumulated steps an update, clipping, cosine with warm-up, against a loop without any of our code."""
    # sgd: the gradient of a bias before a batch norm is noise around 0, which adam would blow up
    sgd = schema.Optimiser(name="sgd", lr=0.02, weight_decay=0.1, clip_norm=1.0)
    found = spec(tmp_path, fabric, accumulate=2, choose_by="last", optimiser=sgd)
    plain = spec(tmp_path / "unused", fabric)
    optimiser = torch.optim.SGD(
        [
            {"params": [p for p in plain.network.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in plain.network.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        momentum=0.9,
    )
    engine.fit(fabric, found)
    plain.network.train()
    for epoch in range(3):
        for update, group in enumerate([(0, 1), (2, 3), (4,)]):
            for index in group:
                part = batches(epoch)[index]
                with seeds.globals_from(5, "tiny", epoch, index, 0):
                    output = plain.step(plain.network, engine.Batch(part, part, epoch, epoch * 5 + index, slice(0, 6)))
                (output.loss / len(group)).backward()
            number = epoch * 3 + update
            share = (number + 1) / 4 if number < 3 else (1 + np.cos(np.pi * (number - 3) / 6)) / 2
            for each in optimiser.param_groups:
                each["lr"] = 0.02 * share
            nn.utils.clip_grad_norm_(plain.network.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
    for name, value in plain.network.state_dict().items():
        assert torch.allclose(found.network.state_dict()[name], value, atol=1e-7), name


def test_metrics_are_the_epochs_means(tmp_path: Path, fabric: Fabric) -> None:
    seen: list[tuple[float, int]] = []
    whole = spec(tmp_path, fabric)

    def noting(network: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        assert np.array_equal(batch.rows, batch.global_rows[batch.rank_slice])
        output = whole.step(network, batch)
        seen.append((output.loss.item(), batch.step))
        return output

    engine.fit(fabric, replace(whole, step=noting))
    assert [step for _, step in seen] == list(range(15))
    train = rows(whole, "train")
    losses = [loss for loss, _ in seen]
    assert [row["loss"] for row in train] == pytest.approx([np.mean(losses[n : n + 5]) for n in (0, 5, 10)])
    # the odd steps' NaN does not count
    assert [row["mined"] for row in train] == pytest.approx(
        [np.mean([0, 2, 4]), np.mean([6, 8]), np.mean([10, 12, 14])]
    )
    assert [row["seen"] for row in train] == [30.0] * 3
    assert [(row["epoch"], row["step"]) for row in train] == [(1, 5), (2, 10), (3, 15)]
    logged = rows(whole, "step")
    assert [row["step"] for row in logged] == [2, 4, 6, 8, 10, 12, 14]
    assert [row["loss"] for row in logged] == [losses[n] for n in range(1, 15, 2)]
    assert logged[0]["lr"] == pytest.approx(0.02 * 2 / 6)
    assert "seconds" not in (tmp_path / "metrics.jsonl").read_text()
    assert [row["epoch"] for row in MetricsLog(tmp_path / "timing.jsonl").rows()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("choose_by", "scores", "best"),
    [
        ("auc", [0.5, 0.9, 0.9, 0.7], 2),
        ("loss", [0.5, 0.2, 0.3, 0.2], 2),
        ("auc", [float("nan"), 0.1, float("nan"), 0.05], 2),
        ("auc", [float("nan")] * 4, 4),
        ("last", [0.5, 0.9, 0.1, 0.2], 4),
    ],
)
def test_the_chosen_weights_are_left(
    tmp_path: Path, fabric: Fabric, choose_by: str, scores: list[float], best: int
) -> None:
    validated: dict[int, torch.Tensor] = {}

    def validate(network: nn.Module, epoch: int) -> dict[str, float]:
        assert not any(module.training for module in network.modules())
        validated[epoch + 1] = network[0].weight.detach().clone()
        return {choose_by: scores[epoch]}

    chosen = spec(tmp_path, fabric, epochs=4, choose_by=choose_by, validate=validate, average=0.5)
    result = engine.fit(fabric, chosen)
    assert result.best_epoch == best
    assert torch.equal(chosen.network[0].weight, validated[best])
    assert len(list((tmp_path / "checkpoints").iterdir())) == (1 if result.best_value is None else 2)


def test_validation_every_second_epoch_and_after_the_last(tmp_path: Path, fabric: Fabric) -> None:
    told: list[tuple[int, list[str]]] = []
    engine.fit(
        fabric,
        spec(
            tmp_path,
            fabric,
            validate_every=2,
            on_epoch=lambda epoch, splits: told.append((epoch, sorted(splits))),
        ),
    )
    assert told == [(0, ["train"]), (1, ["train", "val"]), (2, ["train", "val"])]


def test_too_little_memory_is_said(tmp_path: Path, fabric: Fabric) -> None:
    def step(network: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        torch.empty(2**60)
        raise AssertionError("more memory than any machine has")

    with pytest.raises(CcxrError, match="cpu has too little memory for tiny with 6 images a step on a process; make"):
        engine.fit(fabric, replace(spec(tmp_path, fabric), step=step))
    with pytest.raises(CcxrError, match=r"6 images a step on a process; set tiny\.batch_size=3"):
        engine.fit(fabric, replace(spec(tmp_path, fabric), step=step, out_of_memory_hint="set tiny.batch_size=3"))


def test_too_little_memory_in_a_validation_is_said(tmp_path: Path, fabric: Fabric) -> None:
    def validate(network: nn.Module, epoch: int) -> dict[str, float]:
        torch.empty(2**60)
        raise AssertionError("more memory than any machine has")

    with pytest.raises(CcxrError, match=r"memory for the validation of tiny; set runtime\.eval_batch_size lower"):
        engine.fit(fabric, replace(spec(tmp_path, fabric), validate=validate))


def test_other_errors_are_not_hidden(tmp_path: Path, fabric: Fabric) -> None:
    def step(network: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        raise RuntimeError("a fault of the phase")

    with pytest.raises(RuntimeError, match="a fault of the phase"):
        engine.fit(fabric, replace(spec(tmp_path, fabric), step=step))


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, fabric: Fabric) -> None:
    engine.fit(fabric, spec(tmp_path, fabric))
    with pytest.raises(RequestError, match="with 5 steps an epoch, this one is 'tiny' with 2;"):
        engine.fit(fabric, spec(tmp_path, fabric, batches=lambda epoch: batches(epoch)[:2]), resume=True)
    other = nn.Linear(6, 2)
    groups = engine.parameter_groups([other], schema.Optimiser())
    with pytest.raises(RequestError, match="does not fit this recipe"):
        engine.fit(fabric, spec(tmp_path, fabric, network=other, parameter_groups=groups), resume=True)
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"broken")
    with pytest.raises(RequestError, match="cannot be read"):
        engine.fit(fabric, spec(tmp_path, fabric), resume=True)


def test_without_resume_it_starts_again(tmp_path: Path, fabric: Fabric) -> None:
    first = spec(tmp_path, fabric)
    result = engine.fit(fabric, first)
    engine.mark_done(tmp_path, result)
    assert engine.is_done(tmp_path)
    assert json.loads((tmp_path / "done.json").read_text())["best_epoch"] == result.best_epoch
    before = outcome(first)
    second = spec(tmp_path, fabric)
    with pytest.raises(Killed):
        engine.fit(fabric, before_step(0, kill, second))
    assert not engine.is_done(tmp_path)
    engine.fit(fabric, second)
    assert outcome(second) == before


def test_an_epoch_without_a_batch_is_refused(tmp_path: Path, fabric: Fabric) -> None:
    with pytest.raises(RequestError, match="an epoch has no batch"):
        engine.fit(fabric, spec(tmp_path, fabric, batches=lambda epoch: []))


def test_groups_keep_their_own_rates(tmp_path: Path, fabric: Fabric) -> None:
    part = spec(
        tmp_path, fabric, schedule=schema.Schedule(), optimiser=schema.Optimiser(name="sgd", momentum=0, lr=1.0)
    )
    held, moved = part.network[0], part.network[4]
    before = held.weight.detach().clone(), moved.weight.detach().clone()
    groups = [
        *engine.parameter_groups([held], part.optimiser, 1e-12),
        *engine.parameter_groups([moved], part.optimiser),
    ]
    engine.fit(fabric, replace(part, parameter_groups=groups, choose_by="last"))
    assert torch.allclose(held.weight, before[0], atol=1e-9)
    assert not torch.allclose(moved.weight, before[1], atol=1e-3)


def test_points_are_learned(tmp_path: Path, fabric: Fabric) -> None:
    part = spec(tmp_path, fabric, epochs=12)
    engine.fit(fabric, part)
    right = part.network(POINTS).argmax(1) == LABELS
    assert float(right.float().mean()) > 0.9
