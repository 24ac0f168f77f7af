"""A backbone found inside a file: what is wrapped around it, what is left aside, and what is another network."""

from __future__ import annotations

import argparse
import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn

from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.checkpoints import matching, nearest_backbone, unwrap
from contrastive_cxr.recipe import schema

NAME = "shufflenet_v2_x0_5"  # the smallest
State = dict[str, Tensor]


def network(backbone: str = NAME, seed: int = 1) -> models.Network:
    return models.build(schema.Model(backbone=backbone, image_size=64), mean=0.5, std=0.25, seed=seed).eval()


@pytest.fixture(scope="module")
def own() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.shufflenet_v2_x0_5(num_classes=14).eval()


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def other(state: State) -> State:
    """The same names with other numbers."""
    return {name: value + 1 if value.is_floating_point() else value for name, value in state.items()}


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "plain.pt": lambda state: state,
    "moco.pth": lambda state: {
        "state_dict": under("module.encoder_k.", other(state))
        | under("module.encoder_q.", state)
        | {"module.queue": torch.zeros(8, 8)}
    },
    "byol.pth": lambda state: under("target_encoder.", other(state)) | under("online_encoder.", state),
    "dino.pth": lambda state: {
        "student": under("module.backbone.", other(state)),
        "teacher": under("backbone.", state),
    },
    "lightning.ckpt": lambda state: {
        "state_dict": under("model.", state),
        "hyper_parameters": {"lr": 1e-3},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
    },
    "parallel.pth.tar": lambda state: {"epoch": 3, "arch": NAME, "state_dict": under("module.", state)},
    "compiled.pth": lambda state: under("_orig_mod.", state),
    "any-word.bin": lambda state: {"what": {"ever": under("net.module.encoder.", state)}},
    "tutorial.pth": lambda state: {"model_state_dict": state, "optimizer_state_dict": {}, "epoch": 1},
    "numpy-number.pth": lambda state: {"state_dict": state, "best_acc": np.float64(0.9), "stats": np.arange(3)},
    "namespace.pth": lambda state: {"model": state, "args": argparse.Namespace(lr=0.1), "path": Path("runs")},
    "half.weights": lambda state: {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    },
    "without-an-ending": lambda state: OrderedDict(state),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_backbone_is_found_whatever_is_around_it(tmp_path: Path, own: nn.Module, name: str) -> None:
    torch.save(WRAPPERS[name](own.state_dict()), tmp_path / name)
    net = network()
    found = weights.start(net, str(tmp_path / name))
    whole = {"rtol": 1e-3, "atol": 1e-3} if name.startswith("half") else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(net.backbone.conv5[0].weight, own.conv5[0].weight, **whole)
    torch.testing.assert_close(net.backbone.stage4[3].branch2[6].running_var, own.stage4[3].branch2[6].running_var)
    folded = own.conv1[0].weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(net.backbone.conv1[0].weight, folded, rtol=1e-2 if whole["rtol"] else 0, atol=5e-3)
    facts = found.facts()
    assert facts["missing"] == []
    assert sum(key.endswith(("fc.weight", "fc.bias")) for key in facts["left_aside"]) >= 2
    assert all(len(line.splitlines()) == 1 for line in found.lines())


@pytest.mark.parametrize("old", [False, True])
def test_the_old_format_and_a_whole_network_run_no_code(tmp_path: Path, own: nn.Module, old: bool) -> None:
    content = {"state_dict": own.state_dict(), "args": argparse.Namespace(a=1)} if old else own
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=not old)
    read = unwrap.read(tmp_path / "w.pth")
    (group,) = read.groups
    assert group.tensors.keys() == own.state_dict().keys()
    assert all(torch.equal(group.tensors[name], value) for name, value in own.state_dict().items())
    assert ("argparse.Namespace" in read.classes) == old


def test_safetensors_is_known_by_its_content(tmp_path: Path, own: nn.Module) -> None:
    (tmp_path / "weights.bin").write_bytes(safetensors.torch.save(under("module.", own.state_dict())))
    assert weights.start(network(), str(tmp_path / "weights.bin")).facts()["prefix"] == "module."


def test_the_share_is_counted_in_tensors_and_in_numbers(own: nn.Module) -> None:
    state = own.state_dict()
    wanted = {name: value for name, value in state.items() if not name.startswith("fc.")}
    counted = [name for name in wanted if not name.endswith("num_batches_tracked")]
    gone = counted[10]
    found = matching.match(unwrap.Content([unwrap.Group("", {n: v for n, v in state.items() if n != gone})]), NAME, 64)
    assert found.missing == (gone,)
    every = sum(wanted[name].numel() for name in counted)
    shares = ((len(counted) - 1) / len(counted), (every - wanted[gone].numel()) / every)
    assert found.share == pytest.approx(min(shares))
    assert found.fits
    # norms without their running statistics are few numbers and many tensors
    bare = {name: value for name, value in state.items() if "running" not in name}
    assert not matching.match(unwrap.Content([unwrap.Group("", bare)]), NAME, 64).fits


def refusal(tmp_path: Path, content: Any, backbone: str, name: str = "w.pth") -> str:
    torch.save(content, tmp_path / name)
    with pytest.raises(RequestError) as caught:
        weights.start(network(backbone), str(tmp_path / name))
    (fault,) = caught.value.faults
    assert "\n" not in fault
    assert "\x1b" not in fault
    return fault


@pytest.fixture
def few_kin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer candidates than there are, for speed."""
    known = ["resnet18", "resnet34", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "densenet121", "densenet169"]
    monkeypatch.setattr(catalogue, "known", lambda: known)


def test_another_architecture_is_refused_with_the_one_that_fits(tmp_path: Path, own: nn.Module, few_kin: None) -> None:
    fault = refusal(tmp_path, {"model": under("module.", own.state_dict())}, "resnet18")
    assert "does not fit resnet18 at 64 pixels: 0 % of its weights agree, and 95 % are needed" in fault
    assert f"set model.backbone={NAME}, which it fits" in fault


def test_a_deeper_network_does_not_pass_for_a_shallower_one(tmp_path: Path, few_kin: None) -> None:
    """All of ResNet-18's names and shapes are among ResNet-34's."""
    fault = refusal(tmp_path, torchvision.models.resnet34().state_dict(), "resnet18")
    assert "it has more layers than that; set model.backbone=resnet34" in fault


def test_a_network_that_nothing_fits_is_said_so(tmp_path: Path, few_kin: None) -> None:
    assert "give weights of this backbone" in refusal(tmp_path, {"a": torch.zeros(3)}, NAME)


def test_a_tensor_of_another_shape_is_never_passed_over(tmp_path: Path, own: nn.Module, few_kin: None) -> None:
    state = own.state_dict()
    state["conv5.1.weight"] = torch.zeros(7)
    assert "'conv5.1.weight' is [7], expected [1024]" in refusal(tmp_path, state, NAME)


class Code:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("old", [False, True])
def test_code_is_refused_in_our_own_words(tmp_path: Path, own: nn.Module, old: bool) -> None:
    torch.save(
        {"state_dict": own.state_dict(), "more": Code(tmp_path / "sprung")},
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=not old,
    )
    with pytest.raises(RequestError) as caught:
        weights.start(network(), str(tmp_path / "w.pth"))
    (fault,) = caught.value.faults
    assert not (tmp_path / "sprung").exists()
    assert "code of a file is never run" in fault
    assert "torch.save(network.state_dict()" in fault
    for word in ("weights_only", "WeightsUnpickler", "add_safe_globals", "github.com"):
        assert word not in fault


def packed(members: dict[str, bytes]) -> bytes:
    """A zip archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x1f\x8b\x08\x00 packed", "is a gzip archive; unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "run git lfs pull"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"", "is empty (0 bytes)"),
        (b"\x93NUMPY\x01", "is an array of NumPy"),
        (b"GGUF\x03", "is a GGUF file of quantised weights"),
        (pickle.dumps({"a": np.zeros(3)}), "is a pickle that torch.save did not write"),
        (b"\0" * 257 + b"ustar", "is a tar archive; unpack it"),
        (packed({"config.json": b"{}"}), "is a zip archive of config.json, which torch.save did not write"),
        (packed({"arr_0.npy": b"\x93NUMPY"}), "is a zip archive of arrays of NumPy"),
        (b"\x08\x09\x12\x07pytorch", "it was cut short or damaged (11 bytes)"),
    ],
)
def test_other_kinds_of_file_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(RequestError, match=re.escape(words)):
        weights.start(network(), str(tmp_path / "w.pth"))


@pytest.mark.parametrize("old", [False, True])
def test_a_file_cut_short_is_said_to_be(tmp_path: Path, own: nn.Module, old: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save(own.state_dict(), path, _use_new_zipfile_serialization=not old)
    for part in (0.3, 0.9):
        data = path.read_bytes()
        (tmp_path / "cut.pth").write_bytes(data[: int(part * len(data))])
        with pytest.raises(RequestError, match="cut short or damaged"):
            weights.start(network(), str(tmp_path / "cut.pth"))


def test_kin_are_looked_for_among_those_with_such_names() -> None:
    for name, wanted in (
        ("features.denseblock1.denselayer1.norm1.weight", "densenet169"),
        ("module.layer1.0.conv1.weight", "resnet50"),
        ("encoder.layer.0.attention.attention.query.weight", "timm/vit_base_patch14_dinov2"),
        ("blocks.0.attn.q_proj.weight", "timm/eva_x_base_patch16"),
        ("layers.0.blocks.0.attn.relative_position_bias_table", "timm/swin_large_patch4_window12_384"),
    ):
        assert wanted in nearest_backbone.candidates([name])
    assert nearest_backbone.candidates(["a"]) == []
