"""Batch norm folded into the convolution before it: the same function of the image in fewer steps, to predict only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

TOLERANCE = 1e-4
"""Largest difference of an output, as a share of the largest output, that counts as rounding."""


@dataclass(frozen=True)
class Pair:
    """A convolution and the batch norm that takes its output; `name` is the batch norm's place in the network."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    name: str


def fold(network: nn.Module, forward: Callable[[], Tensor]) -> int:
    """Fold every batch norm of `network` that takes a convolution's output as it is, in place.

    Which these are is seen in a pass, so that any backbone will do. A second pass compares the outputs: where they
    differ by more than rounding (a convolution whose output something else reads too), everything is put back.

    Parameters
    ----------
    network : Module
        In evaluation mode; it cannot be trained afterwards, and its state has other names.
    forward : callable
        One pass of some images through `network`; gives its outputs.

    Returns
    -------
    int : how many were folded.
    """
    pairs, wanted = _pairs(network, forward)
    before = [(pair.convolution.weight, pair.convolution.bias) for pair in pairs]
    for pair in pairs:
        fused = fuse_conv_bn_eval(pair.convolution, pair.norm)
        pair.convolution.weight, pair.convolution.bias = fused.weight, fused.bias
        network.set_submodule(pair.name, getattr(pair.norm, "act", nn.Identity()))  # timm's activates too
    with torch.inference_mode():
        apart = (forward() - wanted).abs().max() if pairs else torch.zeros(())
    if bool(apart <= TOLERANCE * wanted.abs().max()):
        return len(pairs)
    for pair, (weight, bias) in zip(pairs, before, strict=True):
        pair.convolution.weight, pair.convolution.bias = weight, bias
        network.set_submodule(pair.name, pair.norm)
    return 0


def _pairs(network: nn.Module, forward: Callable[[], Tensor]) -> tuple[list[Pair], Tensor]:
    """The pairs of a pass, and its outputs."""
    made: list[tuple[Tensor, nn.Conv2d]] = []  # holds the outputs, so that none takes the place of another
    seen: list[tuple[nn.Conv2d, str, nn.BatchNorm2d]] = []

    def after(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d), "the hook is on convolutions alone"
        made.append((output, module))

    def before(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def met(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(module, nn.BatchNorm2d), "the hook is on batch norms alone"
            seen.extend((convolution, name, module) for output, convolution in made if output is inputs[0])

        return met

    hooks = [each.register_forward_hook(after) for each in network.modules() if isinstance(each, nn.Conv2d)]
    hooks += [
        each.register_forward_pre_hook(before(name))
        for name, each in network.named_modules()
        if isinstance(each, nn.BatchNorm2d) and each.running_mean is not None
    ]
    try:
        with torch.inference_mode():
            outputs = forward()
    finally:
        for hook in hooks:
            hook.remove()
    calls = [convolution for _, convolution in made]
    once = [(convolution, name, norm) for convolution, name, norm in seen if calls.count(convolution) == 1]
    names = [name for _, name, _ in once]
    return [Pair(convolution, norm, name) for convolution, name, norm in once if names.count(name) == 1], outputs
