"""The last map of a network: the last tensor with places of the image in it that the answer still depends on.

Which layer that is differs from family to family, and in some no module makes it (DenseNet ends in a ReLU that is a
bare function). So it is looked for in the forward pass itself: every tensor that torch makes there is seen, from a
module or not, and the gradient tells which of them the answer hangs on. In a transformer that is read out from its
class token this is the norm before the last attention: behind it the patches no longer matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from contrastive_cxr.errors import CcxrError

Answer = Callable[[Tensor], Tensor]
Layout = Literal["channels-first", "channels-last", "tokens"]
MOST_PREFIX = 8  # class, distillation and register tokens before the patches


@dataclass(frozen=True)
class Place:
    """Where in a forward pass a map is made, and how it lies in memory.

    Attributes
    ----------
    number : int
        How many tensors shaped like a map were made before it.
    layout : str
        [1, C, h, h], [1, h, h, C], or tokens [1, prefix + h * h, C].
    side : int
        h, places along a side.
    prefix : int
        Tokens before those of the patches.
    """

    number: int
    layout: Layout
    side: int
    prefix: int = 0

    def spread(self, tensor: Tensor) -> Tensor:
        """The tensor as a map [B, C, h, h]; the tokens before the patches are left out."""
        if self.layout == "tokens":
            return tensor[:, self.prefix :].transpose(1, 2).reshape(len(tensor), -1, self.side, self.side)
        return tensor.movedim(-1, 1) if self.layout == "channels-last" else tensor


@dataclass(frozen=True)
class Look:
    """A map and its gradient.

    Attributes
    ----------
    place : Place
    values, gradient : float32 [C, h, h]
        The map, and the answer's gradient with respect to it.
    answer : float
    """

    place: Place
    values: Tensor
    gradient: Tensor
    answer: float


class Walk(TorchFunctionMode):
    """Hands every tensor shaped like a map to `visit(number, tensor)`, in the order in which torch makes them."""

    def __init__(self, visit: Callable[[int, Tensor], object]) -> None:
        super().__init__()
        self.visit = visit
        self.count = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function as it is, and look at what it made."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and _shape(result) is not None:
            self.visit(self.count, result)
            self.count += 1
        return result


def look(images: Tensor, answer: Answer) -> Look:
    """Find the last map that `answer` depends on.

    Memory: the activations of one forward and their gradients.

    Parameters
    ----------
    images : Tensor
        float32 [1, 1, S, S] in 0..1.
    answer : callable
        Maps `images` to a scalar, through a network in evaluation mode.

    Returns
    -------
    Look
        Where the answer depends on no map (all gradients 0), the last one there is.

    Raises
    ------
    CcxrError
        The network makes no map.
    """
    seen: list[Tensor] = []
    images = images.detach().requires_grad_()
    with torch.enable_grad(), Walk(lambda number, tensor: seen.append(tensor)):
        value = answer(images)
    candidates = _candidates(seen)
    if not candidates:
        raise CcxrError("this network makes no map of places, so there is nothing to show on the image")
    gradients = torch.autograd.grad(value, [seen[place.number] for place in candidates], allow_unused=True)
    found = [
        (place, torch.zeros_like(seen[place.number]) if gradient is None else gradient)
        for place, gradient in zip(candidates, gradients, strict=True)
    ]
    place, gradient = next((pair for pair in reversed(found) if bool(pair[0].spread(pair[1]).any())), found[-1])
    values = place.spread(seen[place.number])[0].detach()
    return Look(place, values, place.spread(gradient)[0], float(value.detach()))


def _candidates(seen: list[Tensor]) -> list[Place]:
    """The places of those tensors that may be maps.

    Tokens by tokens is attention, and none. Nor are tokens of another width than the last ones: queries, keys and
    values side by side, or the inside of a perceptron.
    """
    tokens = [tensor.shape for tensor in seen if tensor.ndim == 3]
    counts, width = {shape[1] for shape in tokens}, tokens[-1][2] if tokens else 0
    found = []
    for number, tensor in enumerate(seen):
        shape = _shape(tensor)
        if shape is None or not tensor.requires_grad:
            continue
        if tensor.shape[2] == width if tensor.ndim == 3 else shape[1] not in counts:
            found.append(Place(number, *shape))
    return found


def _shape(tensor: Tensor) -> tuple[Layout, int, int] | None:
    """Layout, side and prefix of a tensor shaped like a map of one square image; None for any other."""
    if tensor.ndim not in (3, 4) or tensor.shape[0] != 1 or not tensor.is_floating_point():
        return None
    if tensor.ndim == 4:
        _, first, second, third = tensor.shape
        if second == third > 1:
            return "channels-first", second, 0
        return ("channels-last", first, 0) if first == second > 1 else None
    side = math.isqrt(tensor.shape[1])
    prefix = tensor.shape[1] - side**2
    return ("tokens", side, prefix) if side > 1 and prefix <= MOST_PREFIX else None
