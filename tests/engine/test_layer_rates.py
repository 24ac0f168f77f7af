"""Rates by block, worked out by hand; epochs of the head alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from contrastive_cxr import engine, models
from contrastive_cxr.engine import optim
from contrastive_cxr.engine.layer_rates import decay_factors, network_groups, waiting
from contrastive_cxr.recipe import schema
from tests.engine.tiny import LABELS

BLOCKS = ["stem", "layer1", "layer2", "layer3", "layer4", "classifier"]
SMALL = "timm/test_resnet"  # the same blocks, with a thirtieth of the weights
IMAGES = torch.rand(30, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def network(backbone: str = "resnet18", projection: tuple[int, ...] = (), classes: int = 2) -> models.Network:
    shape = schema.Model(backbone=backbone, image_size=32)
    return models.build(shape, projection=projection, classes=classes, mean=0.5, std=0.25, seed=0)


def rates(network: models.Network, groups: list[dict[str, Any]]) -> dict[str, float]:
    """Name of each parameter that is in a group: its rate."""
    found = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups), "a parameter is in two groups"
    return {name: found[id(parameter)] for name, parameter in network.named_parameters() if id(parameter) in found}


def test_the_decay_is_a_power_of_the_blocks_above() -> None:
    assert decay_factors(network(), 0.5) == dict(zip(BLOCKS, [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1], strict=True))
    with_projection = decay_factors(network(projection=(8,), classes=0), 0.5)
    assert list(with_projection.values()) == [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    both = decay_factors(network(projection=(8,)), 0.5)
    assert (both["layer4"], both["projection"], both["classifier"]) == (1 / 4, 1 / 2, 1)


def test_an_efficientnets_stages_are_layers_and_its_last_norm_is_of_the_convolution_before() -> None:
    found = decay_factors(network("timm/tf_efficientnet_lite0"), 0.5)
    expected = {f"blocks.{stage}": 0.5 ** (8 - stage) for stage in range(7)}
    expected = {"stem": 0.5**9, **expected, "conv_head": 0.5, "bn2": 0.5, "classifier": 1.0}
    assert found == expected


def test_the_stages_are_those_of_timm() -> None:
    """timm's own layers of this network, by name: a later stage has a larger number there and a larger rate here."""
    from timm.models import group_parameters

    whole = network("timm/tf_efficientnet_lite0")
    theirs = group_parameters(whole.backbone, whole.backbone.group_matcher(coarse=True), reverse=True)
    factors, blocks = decay_factors(whole, 0.5), whole.block_parameters()
    ours = {id(parameter): factors[name] for name, own in blocks.items() for parameter in own}
    pairs = {(theirs[name], ours[id(p)]) for name, p in whole.backbone.named_parameters()}
    ranked = sorted(pairs)
    assert len({layer for layer, _ in pairs}) >= 8
    assert [factor for _, factor in ranked] == sorted(factor for _, factor in ranked)


def test_a_parameters_rate_is_its_blocks() -> None:
    whole = network()
    optimiser = schema.Optimiser(lr=0.1, head_lr=0.3, layer_decay=0.5, weight_decay=0.2)
    groups = network_groups(whole, optimiser, "classifier")
    found = rates(whole, groups)
    assert found["classifier.0.weight"] == found["classifier.0.bias"] == 0.3
    assert found["backbone.layer4.0.conv1.weight"] == pytest.approx(0.05)
    assert found["backbone.layer1.1.bn2.bias"] == pytest.approx(0.1 / 16)
    assert found["backbone.conv1.weight"] == pytest.approx(0.1 / 32)
    assert len(found) == len(list(whole.parameters()))
    assert len(groups) == 12, "of each block what decays and what does not"
    assert {group["weight_decay"] for group in groups for p in group["params"] if p.ndim > 1} == {0.2}
    assert {group["weight_decay"] for group in groups for p in group["params"] if p.ndim == 1} == {0.0}


def test_thawed_blocks_have_their_own_rate_before_the_decay() -> None:
    whole = network(projection=(8,))
    whole.train_only(["layer4", "classifier"])
    found = rates(
        whole, network_groups(whole, schema.Optimiser(lr=0.1, layer_decay=0.5), "classifier", backbone_lr=0.01)
    )
    assert set(found.values()) == {0.1, 0.01 / 4}
    assert found["backbone.layer4.0.conv1.weight"] == 0.01 / 4


def test_without_settings_the_groups_are_the_old_ones() -> None:
    whole = network()
    old = optim.parameter_groups([whole], schema.Optimiser())
    new = network_groups(whole, schema.Optimiser(), "classifier")
    assert [{**group, "params": [id(p) for p in group["params"]]} for group in new] == [
        {**group, "params": [id(p) for p in group["params"]]} for group in old
    ]


def test_tokens_of_a_transformer_are_of_its_first_block() -> None:
    whole = network("timm/test_vit")
    found = rates(whole, network_groups(whole, schema.Optimiser(lr=1.0, layer_decay=0.5), "classifier"))
    assert found["backbone.cls_token"] == found["backbone.pos_embed"] == found["backbone.patch_embed.proj.weight"]
    assert found["backbone.norm.weight"] == found["backbone.blocks.5.mlp.fc1.weight"] == 0.5


def spec(folder: Path, whole: models.Network, head_epochs: int, **changes: Any) -> engine.FitSpec:
    """Two steps an update, two updates an epoch, four epochs; a network with batch norm and an average of weights."""
    optimiser = schema.Optimiser(name="adamw", lr=0.01, weight_decay=0.1, clip_norm=1.0)

    def step(model: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        return engine.StepOutput(nn.functional.cross_entropy(model(IMAGES[batch.rows]), LABELS[batch.rows]))

    parts: dict[str, Any] = {
        "name": "tiny",
        "folder": folder,
        "seed": 5,
        "network": whole,
        "parameter_groups": network_groups(whole, optimiser, "classifier", head_epochs=head_epochs),
        "prepare": waiting(whole, "classifier", head_epochs),
        "optimiser": optimiser,
        "schedule": schema.Schedule(),
        "epochs": 4,
        "batches": lambda epoch: np.split(np.random.default_rng(epoch).permutation(24), 4),
        "step": step,
        "average": 0.5,
        "accumulate": 2,
        "log_every": 1,
    }
    return engine.FitSpec(**{**parts, **changes})


class Seen:
    """The state of a network at each epoch's end, by a validation that says nothing."""

    def __init__(self, whole: models.Network) -> None:
        self.whole, self.states = whole, [copied(whole)]

    def __call__(self, model: nn.Module, epoch: int) -> dict[str, float]:
        self.states.append(copied(self.whole))
        return {"loss": 0.0}


def copied(whole: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in whole.state_dict().items()}


def moved(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    """Names of the tensors that differ."""
    return {name for name in first if not torch.equal(first[name], second[name])}


def test_the_head_learns_alone_and_then_everything(tmp_path: Path) -> None:
    whole = network(SMALL)
    seen = Seen(whole)
    fabric = engine.launch(schema.Runtime(device="cpu"))
    engine.fit(fabric, spec(tmp_path, whole, 2, validate=seen))
    start, first, second, third, _ = seen.states
    assert moved(start, first) == moved(first, second) == {"classifier.0.weight", "classifier.0.bias"}
    after = moved(second, third)
    assert {"backbone.conv1.0.weight", "backbone.bn1.running_mean", "backbone.bn1.num_batches_tracked"} <= after
    assert int(third["backbone.bn1.num_batches_tracked"]) == 4, "one epoch of four steps"
    assert all(parameter.requires_grad for parameter in whole.parameters())


def test_the_thawed_blocks_begin_as_an_optimiser_does(tmp_path: Path) -> None:
    """After the head's epochs the other blocks have no moments: Adam's first step is its rate, whatever the gradient.

    A network whose head has rate 0 trains the others in the third epoch as a new training would.
    """
    whole = network()
    fabric = engine.launch(schema.Runtime(device="cpu"))
    made = spec(tmp_path, whole, 2, average=0.0, accumulate=1, epochs=3)
    steps: list[int] = []
    step = made.step

    def looks(model: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        if batch.step == 9:  # after one update of everything
            change = whole.state_dict()["backbone.conv1.weight"] - first
            decayed = first * (1 - 0.01 * 0.1)
            np.testing.assert_allclose((whole.backbone.conv1.weight.detach() - decayed).abs().median(), 0.01, rtol=1e-2)
            assert change.abs().max() > 0
            steps.append(batch.step)
        return step(model, batch)

    first = whole.state_dict()["backbone.conv1.weight"].clone()
    engine.fit(fabric, spec(tmp_path, whole, 2, average=0.0, accumulate=1, epochs=3, step=looks))
    assert steps == [9]


class Stopped(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("at", [3, *(pytest.param(at, marks=pytest.mark.slow) for at in (8, 11))])
def test_a_training_stopped_in_or_after_the_heads_epochs_goes_on_bit_for_bit(tmp_path: Path, at: int) -> None:
    fabric = engine.launch(schema.Runtime(device="cpu"))
    whole = network(SMALL)
    engine.fit(fabric, spec(tmp_path / "whole", whole, 2, checkpoint_minutes=1e-9))

    broken = network(SMALL)
    made = spec(tmp_path / "parts", broken, 2, checkpoint_minutes=1e-9)
    step = made.step

    def dies(model: nn.Module, batch: engine.Batch) -> engine.StepOutput:
        if batch.step == at:
            raise Stopped
        return step(model, batch)

    with pytest.raises(Stopped):
        engine.fit(fabric, spec(tmp_path / "parts", broken, 2, checkpoint_minutes=1e-9, step=dies))
    resumed = network(SMALL)
    engine.fit(fabric, spec(tmp_path / "parts", resumed, 2, checkpoint_minutes=1e-9), resume=True)
    assert not moved(whole.state_dict(), resumed.state_dict())
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "parts")]
    assert [json.loads(line) for line in logs[0]] == [json.loads(line) for line in logs[1]]


def test_gradients_that_are_dropped_are_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What several processes do (DDP wants all gradients) gives what one does, which computes none."""
    fabric = engine.launch(schema.Runtime(device="cpu"))
    plain, dropped = network(SMALL), network(SMALL)
    engine.fit(fabric, spec(tmp_path / "plain", plain, 2))
    monkeypatch.setattr(engine.fit.__globals__["TrainStep"], "wait", lambda self, epoch: None)
    engine.fit(fabric, spec(tmp_path / "dropped", dropped, 2))
    assert not moved(plain.state_dict(), dropped.state_dict())
