"""Backbones by name: torchvision's, timm's and our own small ones, each on one grey channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

import contrastive_cxr.models.backbones.small as small
import contrastive_cxr.models.backbones.timm_nets as timm_nets
import contrastive_cxr.models.backbones.torchvision_nets as torchvision_nets
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.models.backbones.blocks import divide
from contrastive_cxr.models.backbones.grey import fold_grey
from contrastive_cxr.models.backbones.library import BackboneLibrary

Stem = Literal["fold", "random"]


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
    """Names of all backbones: ours, torchvision's, then timm's as `timm/NAME` where timm is installed."""
    return [*small.names(), *torchvision_nets.names(), *(f"timm/{name}" for name in timm_nets.names())]


def check(name: str) -> None:
    """Raise `RequestError` where `name` is not a backbone we can build."""
    library, _, short = name.rpartition("/")
    if library == "timm" and not timm_nets.installed():
        raise RequestError(f"model.backbone '{name}' needs timm, which is not installed; run: pip install timm")
    if library == "timm":
        there = timm_nets.has(short)
    else:  # timm stays closed: it takes seconds to import
        there = library in ("", "torchvision") and short in torchvision_nets.names()
        there = there or name in small.names()
    if not there:
        raise RequestError(
            f"model.backbone '{name}' is not known{nearest(name, known())}; give a torchvision classification model, "
            f"such as densenet169 or resnet50, timm/NAME, or one of {', '.join(small.names())}"
        )


def block_names(name: str) -> list[str]:
    """Names of the backbone's blocks in forward order; nothing is allocated."""
    return list(skeleton(name).blocks)


def width(name: str) -> int:
    """Channels of the backbone's features; nothing is allocated."""
    return skeleton(name).width


@cache
def skeleton(name: str) -> Skeleton:
    """Look at the backbone on the meta device, at the size it was designed for.

    Raises
    ------
    RequestError
        Where the backbone is not known, or does not map grey images to features.
    """
    library, short = _library(name)
    side = library.side(short)
    try:
        body = on_meta(name)
        return Skeleton(tuple(divide(body)), _trial(body, side), side)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise RequestError(
            f"model.backbone '{name}' does not map grey images to features ({_first_line(error)}); choose another, "
            "such as densenet169 or resnet50"
        ) from error


def on_meta(name: str, image_size: int | None = None) -> nn.Module:
    """The backbone on the meta device, shared: shapes only, and no weight to change.

    `image_size` is its input's side; none: the one it was designed for. Most backbones are the same for all.
    """
    return _on_meta(name, image_size if fixed_size(name) else None)


@cache
def _on_meta(name: str, image_size: int | None) -> nn.Module:
    with torch.device("meta"):
        return create(name, image_size=image_size)


def fixed_size(name: str) -> bool:
    """Whether the backbone is built for one input size, and takes no image of another."""
    library, short = _library(name)
    return library.sized(short)


def size_faults(name: str, image_size: int) -> list[str]:
    """Tell whether the backbone can be built for grey images of `image_size` pixels; tried on the meta device.

    Returns
    -------
    list of str
        Empty, or one sentence.
    """
    shape = skeleton(name)
    try:
        _trial(on_meta(name, image_size), image_size)
    except (RuntimeError, AssertionError, ValueError) as error:
        return [
            f"model.image_size={image_size} does not go through '{name}' ({_first_line(error)}); "
            f"it was designed for {shape.side} pixels"
        ]
    return []


def grey_statistics(name: str) -> tuple[float, float]:
    """Mean and deviation, in 0..1, of the images the pretrained backbone saw, averaged over the colours."""
    library, short = _library(name)
    return library.grey_statistics(short)


def weights_url(name: str) -> str | None:
    """Where the backbone's pretrained weights are downloaded from; None where there are none."""
    library, short = _library(name)
    return library.weights_url(short)


def cached(name: str) -> tuple[Path, str] | None:
    """The pretrained weights in the library's cache and (the begin of) their SHA-256, or ''; None: not there."""
    library, short = _library(name)
    return library.cached(short)


def fitted(name: str, state: dict[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """Tensors of a file as the backbone's library makes them its own: other names, other position embeddings.

    Parameters
    ----------
    state : dict of Tensor
        Without prefix; may be changed.
    body : nn.Module
        The backbone on three channels, on any device.
    """
    library, short = _library(name)
    return library.fitted(short, state, body)


def create(
    name: str,
    dropout: float | tuple[float, ...] = 0.0,
    *,
    image_size: int | None = None,
    stem: Stem = "fold",
    drop_path: float | None = None,
) -> nn.Module:
    """Build a backbone that maps float32 [B, 1, H, W] to pooled features [B, C], its weights random.

    Parameters
    ----------
    name : str
        torchvision's name (with or without `torchvision/`), `timm/NAME`, or one of ours.
    dropout : float or tuple of three
        Drop rate inside the backbone, in [0, 1); ours take three.
    image_size : int, optional
        Side of the input, pixels, for a backbone of fixed size; none: the one it was designed for.
    stem : str
        `fold`: the colour stem's kernels summed. (A sum of three kernels drawn for a fan-in of three is one drawn for a
        fan-in of one; drawn by fan-out it is wider by a root of three.) `random`: drawn as the library draws one
        channel. A weight-standardised stem ends as a plain convolution of the standardised kernel either way.
    drop_path : float, optional
        Rate of stochastic depth, in [0, 1); none: the library's own. It draws from torch's global generator in
        training, and has no weights.

    Raises
    ------
    RequestError
        Where the name is not known, or the backbone has no drop rate, or no stochastic depth, and one is asked for.
    """
    library, short = _library(name)
    if isinstance(dropout, tuple) and library is not small:
        raise RequestError(
            f"model.drop_rates={list(dropout)} are for {', '.join(small.names())}; give '{name}' one rate, "
            "model.dropout"
        )

    def build() -> nn.Module:
        return library.build(short, dropout=dropout, image_size=image_size, grey=stem == "random", drop_path=drop_path)

    body = _built(build)
    fold_grey(body)
    return body


def colour(name: str, *, image_size: int | None = None, pretrained: bool = False) -> nn.Module:
    """Build the backbone as `create` does, its stem left with three channels; `pretrained`: of published weights."""
    library, short = _library(name)
    return _built(lambda: library.build(short, image_size=image_size, grey=False, pretrained=pretrained))


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` gives, also on the meta device where it computes with tensors."""
    try:
        return build()
    except NotImplementedError:  # on the meta device: RegNet computes its widths with tensors
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            return build().to("meta")


def _library(name: str) -> tuple[BackboneLibrary, str]:
    """The module that holds the backbone, and its name there."""
    check(name)
    library, _, short = name.rpartition("/")
    if library == "timm":
        return timm_nets, short
    return (small if name in small.names() else torchvision_nets), short


def _trial(body: nn.Module, side: int) -> int:
    """Width of the features of one image of `side` pixels, on the meta device."""
    with torch.no_grad():
        features = body.eval()(torch.empty(1, 1, side, side, device="meta"))
    assert features.ndim == 2, f"the backbone gives features of shape {tuple(features.shape)}, expected [B, C]"
    return int(features.shape[1])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
