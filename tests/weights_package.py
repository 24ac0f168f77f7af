"""A package of weights as the extra `weights` installs them, made for a test, and the network computed by hand."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional

from contrastive_cxr.models.pretrained import packages

BACKBONE = "timm/tf_efficientnet_lite0"
DISTRIBUTION = "ccxr-test-weights"
REPEATS = {"0": (1, 2, 2, 3, 3, 4, 1), "1": (1, 3, 3, 4, 4, 5, 1), "2": (1, 3, 3, 4, 4, 5, 1)}
STRIDES = (1, 2, 2, 2, 1, 2, 1)
LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def names(blocks: int) -> list[str]:
    """Names of a file's tensors in their order; the first block has no expansion."""

    def norm(place: str) -> list[str]:
        return [f"{place}.{leaf}" for leaf in LEAVES]

    found = ["_conv_stem.weight", *norm("_bn0")]
    for number in range(blocks):
        place = f"_blocks.{number}"
        if number:
            found += [f"{place}._expand_conv.weight", *norm(f"{place}._bn0")]
        found += [f"{place}._depthwise_conv.weight", *norm(f"{place}._bn1")]
        found += [f"{place}._project_conv.weight", *norm(f"{place}._bn2")]
    return [*found, "_conv_head.weight", *norm("_bn1"), "_fc.weight", "_fc.bias"]


def made_up(seed: int = 0) -> dict[str, Tensor]:
    """Weights of EfficientNet-Lite0 under the names of the packages, with norms that change what they see."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = timm.create_model("tf_efficientnet_lite0").state_dict()
        for name, value in state.items():
            if name.endswith(("running_var", "bn1.weight")):
                value.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                value.uniform_(-0.2, 0.2)
    return dict(zip(names(sum(REPEATS["0"])), state.values(), strict=True))


def put(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, content: object = None, version: str = "0.1.0"
) -> packages.Package:
    """Install a package of made-up weights in `folder`, and make it the known one of Lite0.

    `content` is stored in the place of the weights; `version` is the one installed, known is 0.1.0.
    """
    file = folder / "ccxr_test_weights" / "models" / "lite0.pth"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise RuntimeError('the code of the package was run')\n")
    torch.save(made_up() if content is None else content, file)
    record = folder / f"ccxr_test_weights-{version}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(folder)
    package = dataclasses.replace(
        packages.PACKAGES["tf_efficientnet_lite0"],
        distribution=DISTRIBUTION,
        file="ccxr_test_weights/models/lite0.pth",
        sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(packages.PACKAGES, "tf_efficientnet_lite0", package)
    return package


def features(state: Mapping[str, Tensor], images: Tensor, kind: str = "0") -> Tensor:
    """Features [B, C] of normalised colour images [B, 3, H, W]: EfficientNet-Lite, convolution by convolution.

    TensorFlow's padding, batch norm with eps 0.001, ReLU cut off at 6 (not behind the projections).
    """

    def step(x: Tensor, conv: str, norm: str, stride: int = 1, *, cut: bool = True) -> Tensor:
        kernel = state[f"{conv}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        side = x.shape[-1]
        missing = max((-(-side // stride) - 1) * stride + kernel.shape[-1] - side, 0)
        before, after = missing // 2, missing - missing // 2
        x = functional.conv2d(functional.pad(x, (before, after, before, after)), kernel, stride=stride, groups=groups)
        mean, variance, gain, bias = (
            state[f"{norm}.{leaf}"][:, None, None] for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (variance + 1e-3).sqrt() * gain + bias
        return x.clamp(0, 6) if cut else x

    x, number = step(images, "_conv_stem", "_bn0", 2), 0
    for repeats, first in zip(REPEATS[kind], STRIDES, strict=True):
        for turn in range(repeats):
            place, before = f"_blocks.{number}", x
            if number:
                x = step(x, f"{place}._expand_conv", f"{place}._bn0")
            x = step(x, f"{place}._depthwise_conv", f"{place}._bn1", first if turn == 0 else 1)
            x = step(x, f"{place}._project_conv", f"{place}._bn2", cut=False)
            x = x + before if turn else x  # a later block of a stage keeps side and channels
            number += 1
    return step(x, "_conv_head", "_bn1").mean(dim=(2, 3))
