"""Backbones of torchvision and timm, their classifier taken off and their stem folded to one grey channel."""

from __future__ import annotations

import dataclasses
import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torchvision
from torch import nn

from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.models.blocks import divide
from contrastive_cxr.models.grey import fold_grey

# They return auxiliary outputs, fix their input's size, or end without a linear layer.
_UNFIT = ("googlenet", "inception", "maxvit", "squeezenet", "vit_")
# torchvision's word for the drop rate, by family; the other families have none.
_DROP_WORD = {"densenet": "drop_rate"} | dict.fromkeys(
    ("alexnet", "efficientnet", "mnasnet", "mobilenet", "swin", "vgg"), "dropout"
)


@dataclass(frozen=True)
class Skeleton:
    """What is known of a backbone without allocating it.

    Parameters
    ----------
    blocks : tuple of str
        Names of the blocks, in forward order.
    width : int
        Channels of the features.
    side : int
        Input side the backbone was designed for, pixels.
    """

    blocks: tuple[str, ...]
    width: int
    side: int


def known() -> list[str]:
    """Names of all backbones: torchvision's, then timm's as `timm/NAME` where timm is installed."""
    names = torchvision.models.list_models(module=torchvision.models)
    return [name for name in names if not name.startswith(_UNFIT)] + [f"timm/{name}" for name in _timm_names()]


def check(name: str) -> None:
    """Raise `RequestError` where `name` is not a backbone we can build."""
    if name.startswith("timm/"):
        if importlib.util.find_spec("timm") is None:
            raise RequestError(f"model.backbone '{name}' needs timm, which is not installed; run: pip install timm")
        if name.removeprefix("timm/") in _timm_names():
            return
    elif name in torchvision.models.list_models(module=torchvision.models):
        if not name.startswith(_UNFIT):
            return
        raise RequestError(
            f"model.backbone '{name}' takes no free grey input; choose another, such as densenet169 or resnet50"
        )
    raise RequestError(
        f"model.backbone '{name}' is not known{nearest(name, known())}; give a torchvision classification model, "
        "such as densenet169 or resnet50, or timm/NAME"
    )


def block_names(name: str) -> list[str]:
    """Names of the backbone's blocks in forward order; nothing is allocated."""
    return list(skeleton(name).blocks)


def width(name: str) -> int:
    """Channels of the backbone's features; nothing is allocated."""
    return skeleton(name).width


@cache
def skeleton(name: str) -> Skeleton:
    """Look at the backbone on the meta device.

    Raises
    ------
    RequestError
        Where the backbone is not known.
    """
    body = on_meta(name)
    side = int(body.default_cfg["input_size"][-1]) if name.startswith("timm/") else 224  # type: ignore[index]
    return Skeleton(tuple(divide(body)), _trial(body, side), side)


@cache
def on_meta(name: str) -> nn.Module:
    """The backbone on the meta device, shared: shapes only, and no weight to change."""
    with torch.device("meta"):
        return create(name)


def size_faults(name: str, image_size: int) -> list[str]:
    """Tell whether the backbone takes grey images of `image_size` pixels; tried on the meta device.

    Returns
    -------
    list of str
        Empty, or one sentence.
    """
    shape = skeleton(name)
    try:
        _trial(on_meta(name), image_size)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        return [
            f"model.image_size={image_size} does not go through '{name}' ({reason}); "
            f"it was designed for {shape.side} pixels"
        ]
    return []


def grey_statistics(name: str) -> tuple[float, float]:
    """Mean and deviation, in 0..1, of the images the pretrained backbone saw, averaged over the colours."""
    if name.startswith("timm/"):
        config = _timm_record(name)
        return sum(config["mean"]) / 3, sum(config["std"]) / 3
    return (0.485 + 0.456 + 0.406) / 3, (0.229 + 0.224 + 0.225) / 3


def address(name: str) -> str:
    """Where the backbone's pretrained weights are downloaded from."""
    if name.startswith("timm/"):
        config = _timm_record(name)
        return str(config.get("hf_hub_id") or config.get("url") or "no published weights")
    return str(torchvision.models.get_model_weights(name)["DEFAULT"].url)


def create(name: str, dropout: float = 0.0, pretrained: bool = False) -> nn.Module:
    """Build a backbone that maps float32 [B, 1, H, W] to pooled features [B, C].

    A random stem is folded too: the sum of three kernels drawn for a fan-in of three is one drawn for a fan-in of one.

    Parameters
    ----------
    name : str
        torchvision's name, or `timm/NAME`.
    dropout : float
        Drop rate inside the backbone, in [0, 1).
    pretrained : bool
        Download (or take from the library's cache) the published weights.

    Raises
    ------
    RequestError
        Where the name is not known, or the backbone has no drop rate and one is asked for.
    """
    try:
        body = colour(name, dropout, pretrained)
    except NotImplementedError:  # on the meta device: RegNet computes its widths with tensors
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            body = colour(name, dropout).to("meta")
    fold_grey(body)
    return body


def colour(name: str, dropout: float = 0.0, pretrained: bool = False) -> nn.Module:
    """Build the backbone as `create` does, its stem left with three channels."""
    check(name)
    if name.startswith("timm/"):
        import timm

        short = name.removeprefix("timm/")
        body: nn.Module = timm.create_model(short, pretrained=pretrained, num_classes=0, drop_rate=dropout)
        return body
    word = next((word for family, word in _DROP_WORD.items() if name.startswith(family)), None)
    if word is None and dropout > 0:
        raise RequestError(f"model.dropout={dropout}: '{name}' has no drop rate; set model.dropout=0")
    settings: dict[str, Any] = {} if word is None else {word: dropout}
    weights = "DEFAULT" if pretrained else None
    body = torchvision.models.get_model(name, weights=weights, progress=False, **settings)
    _drop_classifier(body)
    return body


def _drop_classifier(body: nn.Module) -> None:
    """Replace torchvision's last linear layer by nothing."""
    for word in ("fc", "classifier", "head"):
        head = getattr(body, word, None)
        if isinstance(head, nn.Linear):
            setattr(body, word, nn.Identity())
            return
        if isinstance(head, nn.Sequential) and isinstance(head[-1], nn.Linear):
            head[-1] = nn.Identity()
            return
    raise AssertionError(f"{type(body).__name__} has no last linear layer under fc, classifier or head")


def _trial(body: nn.Module, side: int) -> int:
    """Width of the features of one image of `side` pixels, on the meta device."""
    with torch.no_grad():
        features = body.eval()(torch.empty(1, 1, side, side, device="meta"))
    assert features.ndim == 2, f"the backbone gives features of shape {tuple(features.shape)}, expected [B, C]"
    return int(features.shape[1])


@cache
def _timm_names() -> frozenset[str]:
    if importlib.util.find_spec("timm") is None:
        return frozenset()
    with torch.device("cpu"):  # the first import may come from inside the meta device
        import timm

    return frozenset(timm.list_models()) | frozenset(timm.list_pretrained())


def _timm_record(name: str) -> dict[str, Any]:
    """timm's own record of a `timm/NAME` backbone's pretrained weights: `mean`, `std`, `input_size`, `url`, ..."""
    import timm

    check(name)
    config = timm.get_pretrained_cfg(name.removeprefix("timm/"))
    assert config is not None, f"timm lists {name} and has no record of it"
    return dataclasses.asdict(config)
