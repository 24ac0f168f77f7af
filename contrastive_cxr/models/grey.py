"""A colour stem folded to one grey channel, once, when the backbone is made."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# timm's layers that standardise their kernel on every call: BiT, NFNet, hybrid ViT
_STANDARDISED = {"StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"}


def fold_grey(body: nn.Module) -> None:
    """Fold every convolution on three channels to one on a grey channel, in place.

    The grey kernel is the sum of the three colour kernels. So on one normalised grey image z the folded net equals the
    colour net on z in all three channels: one mean and one deviation for all. ImageNet's own three (means up to 0.08
    apart) would leave a constant that zero-padded borders do not see, so no kernel could absorb it exactly.

    A weight-standardised stem is standardised over its three channels first and becomes a plain convolution: the sum of
    its kernels, standardised afterwards, would be another net.
    """
    for path, conv in list(body.named_modules()):
        if not isinstance(conv, nn.Conv2d) or conv.in_channels != 3:
            continue
        with torch.no_grad():
            kernel = _effective_kernel(conv).sum(dim=1, keepdim=True)
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
