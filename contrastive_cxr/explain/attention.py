"""Attention rollout (Abnar and Zuidema 2020, Quantifying Attention Flow in Transformers).

Libraries compute attention in one fused step that never shows its weights. They are recorded here from the arguments of
that step; the network's answer stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from contrastive_cxr.models import Network

Floats = NDArray[np.float32]


def attention_map(network: Network, images: Tensor) -> Floats | None:
    """Where the features come from, by the attention of all layers; it is the same for every class.

    The row is the class token's; where the network averages its patches, the mean of their rows.

    Parameters
    ----------
    network : Network
        In evaluation mode.
    images : Tensor
        float32 [1, 1, S, S] in 0..1, on the network's device.

    Returns
    -------
    float32 [h, h] or None
        Shares of the patches; with those of the tokens before them they add up to 1. None where the network has no
        attention, computes some of it by hand, in windows, or between numbers of tokens that change on the way.
    """
    layers = record(network, images)
    if len(layers) != _attentions(network) or len({layer.shape for layer in layers}) != 1 or layers[0].ndim != 3:
        return None
    count, keys = layers[0].shape[1:]
    side = math.isqrt(count)
    prefix = count - side**2
    if count != keys or side < 2 or getattr(network.backbone, "num_prefix_tokens", prefix) != prefix:
        return None
    flow = rollout([layer.double().cpu().numpy() for layer in layers])
    averaged = prefix == 0 or getattr(network.backbone, "global_pool", "token") != "token"
    row = flow[prefix:].mean(axis=0) if averaged else flow[0]
    return np.asarray(row[prefix:].reshape(side, side), dtype=np.float32)


def rollout(layers: Sequence[NDArray[np.floating[Any]]]) -> NDArray[np.floating[Any]]:
    """Attention through all layers.

    Each layer's heads are averaged, half of the identity is added for the residual connection (the rows then still add
    up to 1), and the layers are multiplied, the last one from the left.

    Parameters
    ----------
    layers : sequence of float [heads, N, N]
        Attention of each layer, first to last; rows add up to 1.

    Returns
    -------
    float [N, N]
        Row i: how much of each input token there is in output token i; rows add up to 1.
    """
    flow: NDArray[np.floating[Any]] = np.eye(layers[0].shape[-1], dtype=layers[0].dtype)
    for layer in layers:
        step = 0.5 * layer.mean(axis=0) + 0.5 * np.eye(len(flow), dtype=layer.dtype)
        flow = step / step.sum(axis=1, keepdims=True) @ flow
    return flow


def record(network: Network, images: Tensor) -> list[Tensor]:
    """Attention of every layer in the forward pass of one image: float32 [heads, N, N] each.

    Attention in windows stays as it is, [windows, heads, n, n]. Layers that compute it by hand are not recorded.
    """
    layers: list[Tensor] = []

    def keep(weights: Tensor) -> None:
        layers.append(weights.detach().float())

    with torch.no_grad(), _multihead(network, keep), _fused(network), _Recorder(keep):
        network.features(images)
    return [layer[0] if len(layer) == 1 else layer for layer in layers]


def _attentions(network: nn.Module) -> int:
    """How many attention layers there are: the innermost modules with a number of heads."""
    return sum(
        hasattr(module, "num_heads") and not any(hasattr(part, "num_heads") for part in list(module.modules())[1:])
        for module in network.modules()
    )


class _Recorder(TorchFunctionMode):
    """Computes the weights beside each fused attention: softmax(q k' / sqrt(d) + mask)."""

    def __init__(self, keep: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.keep = keep

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            self.keep(_weights(*args, **named))
        return func(*args, **named)


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **others: Any,
) -> Tensor:
    """Weights [..., N, M] of a fused attention, from its arguments; no image model's attention is causal."""
    del value, dropout_p, is_causal, others
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(dim=-1)


@contextmanager
def _fused(network: nn.Module) -> Iterator[None]:
    """Let timm's layers take the fused step, which is the one that is recorded."""
    there = [module for module in network.modules() if hasattr(module, "fused_attn")]
    before = [module.fused_attn for module in there]
    try:
        for module in there:
            setattr(module, "fused_attn", True)  # noqa: B010  (a word of timm's, unknown to nn.Module)
        yield
    finally:
        for module, word in zip(there, before, strict=True):
            setattr(module, "fused_attn", word)  # noqa: B010


@contextmanager
def _multihead(network: nn.Module, keep: Callable[[Tensor], None]) -> Iterator[None]:
    """Make torch's own attention layers (torchvision's transformers) give their weights, a head at a time."""

    def ask(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, kwargs | {"need_weights": True, "average_attn_weights": False}

    handles = []
    for module in network.modules():
        if isinstance(module, nn.MultiheadAttention):
            handles.append(module.register_forward_pre_hook(ask, with_kwargs=True))
            handles.append(module.register_forward_hook(lambda module, inputs, output: keep(output[1])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
