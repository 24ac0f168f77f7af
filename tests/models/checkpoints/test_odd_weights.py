"""Odd files of weights: each is loaded right, or refused in one clear sentence."""

from __future__ import annotations

import re
import sys
import types
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.models.checkpoints import nearest_backbone, unwrap
from contrastive_cxr.recipe import schema

NAME = "shufflenet_v2_x0_5"  # the smallest
State = dict[str, Tensor]
torch.manual_seed(0)
OWN = torchvision.models.shufflenet_v2_x0_5(num_classes=14).eval()
STATE: State = OWN.state_dict()
OTHER: State = {name: value + 1 if value.is_floating_point() else value for name, value in STATE.items()}


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def network() -> models.Network:
    return models.build(schema.Model(backbone=NAME, image_size=64), mean=0.5, std=0.25, seed=1)


def stepped() -> dict[str, Any]:
    """An optimiser whose averages are twice as large as the network."""
    optimiser = torch.optim.AdamW(nn.Linear(3, 2).parameters())
    for parameter in optimiser.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    return optimiser.state_dict()


def one_storage() -> State:
    """Every tensor a view of one long one, as some trainers keep them."""
    long, begin, made = torch.cat([value.flatten().float() for value in STATE.values()]), 0, {}
    for name, value in STATE.items():
        made[name] = long[begin : begin + value.numel()].view(value.shape).to(value.dtype)
        begin += value.numel()
    return made


def wrapped_inside(word: str) -> State:
    return {name.replace("stage3.", f"stage3.{word}."): value for name, value in STATE.items()}


LOADED: dict[str, Any] = {
    "average": {"state_dict": under("model.", OTHER), "ema": {"shadow": STATE, "decay": 0.99}},
    "average of torch": under("module.", STATE) | {"n_averaged": torch.tensor(3)},
    "compiled and distributed": {"model": under("_orig_mod.module._fsdp_wrapped_module.", STATE)},
    "compiled inside": wrapped_inside("_orig_mod"),
    "checkpointed inside": wrapped_inside("_checkpoint_wrapped_module"),
    "an optimiser's averages by name": {"optimizer": {"exp_avg": OTHER, "exp_avg_sq": OTHER}, "net": STATE},
    "a list": [STATE, stepped()],
    "lists inside": {"models": [under("module.", STATE)], "step": 1},
    "one storage": one_storage(),
    "a tied head": STATE | {"head2.weight": STATE["fc.weight"]},
    "no counters": {name: value for name, value in STATE.items() if not name.endswith("num_batches_tracked")},
    "other heads": STATE | {"fc.weight": torch.zeros(3, 1024), "aux.weight": torch.zeros(3, 3)},
    "parameters": {name: nn.Parameter(v) if v.is_floating_point() else v for name, v in STATE.items()},
    "a dictionary with a default": {"state_dict": defaultdict(dict, STATE)},
    "a whole network in a dictionary": {"model": nn.DataParallel(OWN), "epoch": 1},
}


@pytest.mark.parametrize("case", LOADED)
def test_what_holds_the_network_somewhere_is_loaded(tmp_path: Path, case: str) -> None:
    torch.save(LOADED[case], tmp_path / "w.pth")
    (tmp_path / "link").symlink_to("w.pth")
    net = network()
    facts = weights.start(net, str(tmp_path / "link")).facts()
    assert facts["missing"] == []
    found = net.backbone.state_dict()
    for name in ("conv5.0.weight", "stage3.2.branch2.3.weight", "stage4.3.branch2.6.running_var"):
        assert torch.equal(found[name], STATE[name]), name


def test_a_whole_network_of_any_class_gives_its_tensors_and_none_of_its_code(tmp_path: Path) -> None:
    """The class is in a module that is gone when the file is read, and would shout if it were made."""
    module = types.ModuleType("somebodys_nets")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = OWN

        def __setstate__(self, state: Any) -> None:
            raise AssertionError("code of the file was run")

    Net.__module__, Net.__qualname__, module.Net = "somebodys_nets", "Net", Net  # type: ignore[attr-defined]
    sys.modules["somebodys_nets"] = module
    try:
        torch.save(Net(), tmp_path / "whole.pt")
    finally:
        del sys.modules["somebodys_nets"]
    read = unwrap.read(tmp_path / "whole.pt")
    assert "somebodys_nets.Net" in read.classes
    net = network()
    assert weights.start(net, str(tmp_path / "whole.pt")).facts()["prefix"] == "encoder."
    assert torch.equal(net.backbone.conv5[0].weight, STATE["conv5.0.weight"])


def quantised() -> State:
    return {
        name: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8) if value.ndim == 4 else value
        for name, value in STATE.items()
    }


def broken() -> State:
    return STATE | {"conv5.0.weight": STATE["conv5.0.weight"] * float("nan")}


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "lora": (
        lambda: {f"base.{key}.lora_A.weight": torch.zeros(4, 8) for key in STATE},
        "it holds LoRA adapters; merge",
    ),
    "weight norm": (
        lambda: {key.replace("conv5.0.weight", "conv5.0.weight_v"): value for key, value in STATE.items()},
        "some of its layers compute their weights .* remove that first",
    ),
    "quantised": (quantised, "its weights are quantised; give those from before"),
    "eight bits": (
        lambda: {key: v.to(torch.int8) if v.ndim == 4 else v for key, v in STATE.items()},
        "its weights are quantised; give those from before",
    ),
    "not finite": (broken, r"1 of its tensors hold values that are not finite .*'conv5\.0\.weight'"),
    "four colours": (
        lambda: STATE | {"conv1.0.weight": torch.zeros(24, 4, 3, 3)},
        r"others differ; 'conv1\.0\.weight' is",
    ),
    "arrays": (lambda: {key: v.numpy() for key, v in STATE.items()}, "its dictionaries hold arrays of NumPy; save"),
    "numbers": (lambda: {"a": np.float64(1)}, "is not a state_dict"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_the_networks_weights_is_said(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_backbone, "candidates", lambda names: [])  # other backbones are not what this is about
    make, said = REFUSED[case]
    torch.save(make(), tmp_path / "w.pth")
    refused(tmp_path / "w.pth", said)


def refused(word: Path, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        weights.start(network(), str(word))
    (fault,) = caught.value.faults
    assert re.search(said, fault), fault
    assert "\n" not in fault


def test_a_folder_of_several_files_names_them(tmp_path: Path) -> None:
    for name in ("a.pth", "b.pth"):
        torch.save(STATE, tmp_path / name)
    refused(tmp_path, r"of its files of weights \(a\.pth, b\.pth\) name one: .*a\.pth")
    (tmp_path / "adapter_config.json").write_text("{}")
    refused(tmp_path, "holds an adapter")


@pytest.mark.filterwarnings("ignore")
def test_compiled_and_old_whole_networks_are_named(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "script.pt")
    refused(tmp_path / "script.pt", "torch.jit.save wrote, which is code; .*torch.jit.load")
    torch.save(OWN, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "old.pt", "whole network in torch's old format.*code of a file is never run")
    # the cure is in the sentence, and nothing of torch's own message with its escape codes
    refused(tmp_path / "old.pt", r"^[^\x1b\n]*torch\.save\(network\.state_dict\(\), 'tensors\.pth'\)$")
