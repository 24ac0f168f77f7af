"""Weights in several parts, as Hugging Face writes a large network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.recipe import schema
from contrastive_cxr.run_folder import provenance

NAME = "shufflenet_v2_x0_5"  # the smallest
State = dict[str, Tensor]


def network() -> models.Network:
    return models.build(schema.Model(backbone=NAME, image_size=64), mean=0.5, std=0.25, seed=1)


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return dict(torchvision.models.shufflenet_v2_x0_5(num_classes=3).state_dict())


def by_the_hub(state: State, folder: Path) -> None:
    """As the hub's own library writes a network that is too large for one file."""
    hub = pytest.importorskip("huggingface_hub")
    hub.save_torch_state_dict(state, folder, max_shard_size=500_000)


def as_pickles(state: State, folder: Path) -> None:
    """As `transformers` wrote them before safetensors."""
    names = sorted(state)
    parts = {f"pytorch_model-0000{number + 1}-of-00003.bin": names[number::3] for number in range(3)}
    for part, own in parts.items():
        torch.save({name: state[name] for name in own}, folder / part)
    index = {"metadata": {"total_size": 1}, "weight_map": {name: part for part, own in parts.items() for name in own}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("write", [by_the_hub, as_pickles])
def test_every_part_is_read(tmp_path: Path, state: State, write: Callable[[State, Path], None]) -> None:
    write(state, tmp_path)
    (index,) = tmp_path.glob("*.index.json")
    parts = sorted(tmp_path.glob("*-of-*"))
    assert len(parts) >= 2
    for word in (tmp_path, index):
        net = network()
        facts = weights.start(net, str(word)).facts()
        assert facts["missing"] == []
        assert facts["left_aside"] == ["fc.weight", "fc.bias"] or sorted(facts["left_aside"]) == [
            "fc.bias",
            "fc.weight",
        ]
        for key in ("conv5.0.weight", "stage4.3.branch2.6.running_var", "stage2.0.branch1.0.weight"):
            assert torch.equal(net.backbone.state_dict()[key], state[key])
    recipe = schema.Recipe.model_construct(model=schema.Model(backbone=NAME, weights=str(tmp_path)))
    digests = provenance.weights_facts(recipe)
    assert sorted(digests["parts"]) == [part.name for part in parts]
    parts[1].write_bytes(parts[0].read_bytes())
    assert provenance.weights_facts(recipe)["sha256"] != digests["sha256"]


def refusal(word: Path) -> str:
    with pytest.raises(RequestError) as caught:
        weights.start(network(), str(word))
    (fault,) = caught.value.faults
    assert "\n" not in fault
    return fault


def test_what_is_wrong_with_parts_is_one_sentence(tmp_path: Path, state: State) -> None:
    by_the_hub(state, tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    first, second, *_ = sorted(tmp_path.glob("*-of-*"))
    assert f"{first} is one part of several; give the folder: model.weights={tmp_path}" in refusal(first)

    held = safetensors.torch.load_file(second)
    gone = next(iter(held))
    safetensors.torch.save_file({name: value for name, value in held.items() if name != gone}, second)
    assert re.search(rf"1 of its \d+ tensors are not in the parts .*'{gone}' in {second.name}", refusal(tmp_path))
    second.write_bytes(second.read_bytes()[:-9])
    assert f"{second} is not a safetensors file, or it was cut short" in refusal(tmp_path)
    for part in (first, second):
        part.unlink()
    assert f"parts are missing ({first.name}, {second.name}" in refusal(tmp_path)

    for text, said in (
        ("{", "is not JSON"),
        ("[]", "has no weight_map"),
        ('{"weight_map": {"a": 1}}', "has no weight_map"),
        ('{"weight_map": {"a": "../secret.bin"}}', "names a part outside its folder ('../secret.bin')"),
        ('{"weight_map": {"a": "c:\\\\secret.bin"}}', "names a part outside its folder"),
    ):
        index.write_text(text)
        assert said in refusal(tmp_path)
