"""Optimiser, schedule, running average."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from contrastive_cxr.engine import optim
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema


def rates(schedule: schema.Schedule, per_epoch: int, epochs: int) -> list[float]:
    return [optim.factor(schedule, update, per_epoch, epochs) for update in range(per_epoch * epochs)]


def test_constant_with_warm_up() -> None:
    expected = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    found = rates(schema.Schedule(name="constant", warmup_epochs=1.5), 2, 3)
    assert found == pytest.approx(expected)
    assert rates(schema.Schedule(), 2, 2) == [1.0] * 4


def test_step_halves_every_two_epochs() -> None:
    found = rates(schema.Schedule(name="step", step_epochs=2, gamma=0.5), 3, 5)
    assert found == [1.0] * 6 + [0.5] * 6 + [0.25] * 3


def test_inverse_time_is_one_over_one_plus_t() -> None:
    found = rates(schema.Schedule(name="inverse-time", half_epochs=2.5), 4, 5)
    assert found == pytest.approx([1 / (1 + (update / 4) / 2.5) for update in range(20)])
    assert found[10] == pytest.approx(0.5)
    warm = rates(schema.Schedule(name="inverse-time", half_epochs=1, warmup_epochs=1), 2, 3)
    assert warm == pytest.approx([1 / 3, 2 / 3, 1, 1 / 1.5, 1 / 2, 1 / 2.5])


def test_cosine_is_torchs() -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=12)
    expected = []
    for _ in range(12):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()
    assert rates(schema.Schedule(name="cosine"), 4, 3) == pytest.approx(expected)


def test_cosine_after_warm_up() -> None:
    found = rates(schema.Schedule(name="cosine", warmup_epochs=1), 4, 3)
    assert found[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert found[4:] == pytest.approx([(1 + math.cos(math.pi * n / 8)) / 2 for n in range(8)])


@pytest.mark.parametrize(("per_epoch", "epochs"), [(10, 4), (7, 3), (1, 5)])
def test_one_cycle_is_torchs(per_epoch: int, epochs: int) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=1.0, total_steps=per_epoch * epochs, pct_start=0.25, div_factor=25, final_div_factor=400,
        cycle_momentum=False,
    )  # fmt: skip
    expected = []
    for _ in range(per_epoch * epochs):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if len(expected) < per_epoch * epochs:
            theirs.step()
    assert rates(schema.Schedule(name="one-cycle"), per_epoch, epochs) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["constant", "step", "inverse-time", "cosine", "one-cycle"])
@pytest.mark.parametrize("warmup", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("epochs", [1, 2])
def test_no_schedule_leaves_zero_to_one(name: str, warmup: float, epochs: int) -> None:
    found = rates(schema.Schedule(name=name, warmup_epochs=warmup), 1, epochs)
    assert all(0 < rate <= 1 for rate in found)


def test_norms_and_biases_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    network[2].weight.requires_grad_(False)
    groups = optim.parameter_groups([network, network[0]], schema.Optimiser(lr=0.1, weight_decay=0.5), lr=0.2)
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]
    assert [len(group["params"]) for group in groups] == [1, 4]
    assert all(group["lr"] == 0.2 for group in groups)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", torch.optim.SGD),
        ("rmsprop", torch.optim.RMSprop),
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
    ],
)
def test_the_optimiser_is_the_named_one(name: str, kind: type) -> None:
    wanted = schema.Optimiser(name=name, lr=0.1, momentum=0.7, weight_decay=0.5)
    built = optim.make_optimiser(optim.parameter_groups([nn.Linear(2, 2)], wanted), wanted)
    assert type(built) is kind
    assert built.param_groups[0]["initial_lr"] == 0.1
    assert built.param_groups[0].get("momentum", 0.7) == 0.7
    assert [group["weight_decay"] for group in built.param_groups] == [0.5, 0.0]


def test_nothing_trainable_is_an_error() -> None:
    network = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(RequestError, match="no parameter is trainable"):
        optim.make_optimiser(optim.parameter_groups([network], schema.Optimiser()), schema.Optimiser())


def test_average_is_the_slow_loops() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = optim.Average(network, 0.6)
    slow: list[float] = []
    for update in range(12):
        with torch.no_grad():
            network[0].weight.copy_(torch.full((3, 2), float(update**2)))
            network[1].running_mean.fill_(float(update**2))
            network[1].num_batches_tracked.fill_(update)
        average.update_parameters(network)
        keep = min(0.6, (1 + update) / (10 + update))
        slow = [float(update**2)] if update == 0 else [keep * slow[0] + (1 - keep) * update**2]
    assert average.module[0].weight[0, 0].item() == pytest.approx(slow[0], rel=1e-6)
    assert float(average.module[1].running_mean[0]) == pytest.approx(slow[0], rel=1e-6)
    assert int(average.module[1].num_batches_tracked) == 11


def test_average_goes_on_from_its_state() -> None:
    network = nn.Linear(2, 2)
    average = optim.Average(network, 0.9)
    for _ in range(3):
        nn.init.normal_(network.weight)
        average.update_parameters(network)
    other = optim.Average(copy.deepcopy(network), 0.9)
    other.load_state_dict(average.state_dict())
    nn.init.normal_(network.weight)
    average.update_parameters(network)
    other.update_parameters(network)
    assert torch.equal(average.module.weight, other.module.weight)
