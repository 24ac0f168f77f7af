"""A colour stem made one of a grey channel, folded or fresh, once, when the backbone is made."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

# timm's layers that standardise their kernel on every call: BiT, NFNet, hybrid ViT
_STANDARDISED = {"StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"}


def stems(body: nn.Module) -> list[str]:
    """Paths of the convolutions on three channels: where colour comes in."""
    return [path for path, conv in body.named_modules() if isinstance(conv, nn.Conv2d) and conv.in_channels == 3]


def fold_grey(body: nn.Module) -> None:
    """Fold every convolution on three channels to one on a grey channel, in place.

    The grey kernel is the sum of the three colour kernels. So on one normalised grey image z the folded net equals the
    colour net on z in all three channels: one mean and one deviation for all. ImageNet's own three (means up to 0.08
    apart) would leave a constant that zero-padded borders do not see, so no kernel could absorb it exactly.

    A weight-standardised stem is standardised over its three channels first and becomes a plain convolution: the sum of
    its kernels, standardised afterwards, would be another net.
    """
    for path in stems(body):
        conv = body.get_submodule(path)
        assert isinstance(conv, nn.Conv2d), f"a stem is a convolution, this one is {type(conv).__name__}"
        with torch.no_grad():
            _put(body, path, _effective_kernel(conv).sum(dim=1, keepdim=True))


def folded(conv: nn.Module, own: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """Weights of a colour stem as those of the grey convolution that `fold_grey` makes of it: `weight`, `bias`.

    Parameters
    ----------
    conv : nn.Module
        The convolution on three channels, of any device; it is left as it is.
    own : mapping
        Its tensors, their names with `path` before them.
    """
    made = copy.deepcopy(conv).to_empty(device="cpu")
    assert isinstance(made, nn.Conv2d), f"a stem is a convolution, this one is {type(made).__name__}"
    made.load_state_dict({key.removeprefix(f"{path}."): value for key, value in own.items()}, strict=False)
    with torch.no_grad():
        found = {"weight": _effective_kernel(made).sum(dim=1, keepdim=True)}
    return found if made.bias is None else {**found, "bias": made.bias.detach()}


def one_colour(body: nn.Module, gain: float) -> None:
    """Keep the first colour of every freshly drawn convolution on three channels, times `gain`, in place.

    So a kernel drawn for three channels becomes one drawn for a single channel: `gain` is the root of three where the
    spread follows the fan-in, and 1 where it does not. A bias is scaled alike: torch draws it by the fan-in too.
    """
    for path in stems(body):
        conv = body.get_submodule(path)
        assert isinstance(conv, nn.Conv2d), f"a stem is a convolution, this one is {type(conv).__name__}"
        with torch.no_grad():
            if conv.bias is not None:
                conv.bias *= gain
            _put(body, path, conv.weight[:, :1] * gain)


def plain_stem(body: nn.Module) -> None:
    """Turn a weight-standardised convolution on one channel into a plain one of the standardised kernel, in place.

    A fresh stem then has the same form as a folded one: a file of weights fits both.
    """
    for path, conv in list(body.named_modules()):
        if type(conv).__name__ in _STANDARDISED and isinstance(conv, nn.Conv2d) and conv.in_channels == 1:
            with torch.no_grad():
                _put(body, path, _effective_kernel(conv))


def _put(body: nn.Module, path: str, kernel: Tensor) -> None:
    """Give the convolution at `path` a kernel [O, 1, H, W]; it is plain from now on."""
    conv = body.get_submodule(path)
    assert isinstance(conv, nn.Conv2d), f"a stem is a convolution, this one is {type(conv).__name__}"
    if type(conv).__name__ in _STANDARDISED:
        conv = _plain(conv)
        parent, _, leaf = path.rpartition(".")
        setattr(body.get_submodule(parent), leaf, conv)
    conv.weight = nn.Parameter(kernel)
    conv.in_channels = 1


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does: ceil(side / stride) outputs, the odd pixel at the right and bottom."""

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, 1, H, W] to [B, C, ceil(H / stride), ceil(W / stride)]."""
        padding: list[int] = []
        for axis in (1, 0):
            side, stride, reach = (
                images.shape[2 + axis],
                self.stride[axis],
                self.dilation[axis] * (self.kernel_size[axis] - 1),
            )
            missing = max((-(-side // stride) - 1) * stride + reach + 1 - side, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(images, padding))


def _effective_kernel(conv: nn.Conv2d) -> Tensor:
    """The kernel that meets the image: standardised for each output channel where the layer does so."""
    if type(conv).__name__ not in _STANDARDISED:
        return conv.weight
    flat = conv.weight.flatten(1)
    variance, mean = torch.var_mean(flat, dim=1, correction=0, keepdim=True)
    kernel = ((flat - mean) * torch.rsqrt(variance + float(conv.eps))).reshape_as(conv.weight)  # type: ignore[arg-type]
    gain = getattr(conv, "gain", None)
    return kernel if gain is None else kernel * gain * conv.scale


def _plain(conv: nn.Conv2d) -> nn.Conv2d:
    """An ordinary convolution of the same geometry and bias."""
    kind = SameConv2d if getattr(conv, "same_pad", False) else nn.Conv2d
    plain = kind(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
        bias=conv.bias is not None,
    )
    plain.bias = conv.bias
    return plain
