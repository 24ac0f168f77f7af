"""Stochastic depth: residual branches that are left out at random in training (Huang et al., 2016)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from contrastive_cxr.errors import RequestError

# timm's class and torchvision's: the name of the class, and its attribute for the rate.
_KINDS = {"DropPath": "drop_prob", "StochasticDepth": "p"}


def drops_paths(body: nn.Module) -> bool:
    """Whether any branch is left out in training."""
    return any(getattr(module, word) > 0 for module, word in _branches(body))


def refuse_drop_path(name: str, rate: float | None) -> None:
    """Refuse a rate above 0 for a backbone that has no stochastic depth.

    Raises
    ------
    RequestError
        With the one sentence.
    """
    if rate:
        raise RequestError(
            f"model.drop_path={rate:g}: '{name}' has no stochastic depth; set model.drop_path=null, or take a backbone "
            "that has it, such as timm/tf_efficientnet_lite0, timm/resnet50 or convnext_tiny"
        )


def scale_drop_path(name: str, body: nn.Module, rate: float) -> None:
    """Bring a network's largest rate to `rate` and the others along, in place; the rates rise linearly from 0.

    Raises
    ------
    RequestError
        It has no stochastic depth and the rate is above 0.
    """
    branches = list(_branches(body))
    largest = max((float(getattr(module, word)) for module, word in branches), default=0.0)
    if not largest:
        refuse_drop_path(name, rate)
        return
    for module, word in branches:
        setattr(module, word, rate * getattr(module, word) / largest)


def _branches(body: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """The modules that leave branches out, each with its attribute for the rate."""
    for module in body.modules():
        word = _KINDS.get(type(module).__name__)
        if word is not None:
            yield module, word
