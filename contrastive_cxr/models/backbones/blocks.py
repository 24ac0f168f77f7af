"""A backbone divided into named blocks, by which a recipe freezes and thaws it."""

from __future__ import annotations

import re

from torch import nn

_CONTAINERS = {"features", "stages", "blocks", "layers", "trunk_output"}
_STAGE = re.compile(r"(layer|denseblock|stage|block|s|encoder_layer_)\d+$|(features|stages|blocks|layers)\.\d+$")


def divide(body: nn.Module) -> dict[str, list[str]]:
    """Divide a backbone into named blocks, in forward order.

    What comes before the first stage is `stem`; a stage (`layer1`, `denseblock1`, `stages.0`) is a block of its own,
    and so is every other top-level part with parameters. Parts without parameters join the block before them. A part
    that torchvision calls `classifier` and that keeps layers is `neck`, as `classifier` is the name of our head.

    By family: a ResNet is `stem, layer1 .. layer4`; a DenseNet `stem, denseblock1, transition1, .. norm5`; BiT
    `stem, stages.0 .. stages.3, norm`; an AlexNet or VGG a block for each convolution, named by its place
    (`features.3`), and `neck`; timm's ViT `stem, blocks.0 .. blocks.11, norm`, torchvision's `stem, encoder_layer_0 ..
    encoder_layer_11, ln`; a ViT on a ResNet `stem, stages.0 .. stages.2, proj, blocks.0 .. blocks.11, norm`; our own
    `conv1, .. fc1, fc2`.

    Returns
    -------
    dict of str to list of str
        Block name: paths of its modules inside `body`.
    """
    found: dict[str, list[str]] = {}
    parts = _parts(body)
    stages = [name for name, _ in parts if _STAGE.match(name)]
    before_stages, last = bool(stages), "stem"
    for name, path in parts:
        before_stages = before_stages and name != stages[0]
        bare = next(body.get_submodule(path).parameters(), None) is None
        if before_stages:
            last = "stem"
        elif not bare:
            last = {"classifier": "neck", "projection": "neck"}.get(name, name)
        found.setdefault(last, []).append(path)
    return found


def loose(body: nn.Module) -> list[nn.Parameter]:
    """Parameters that lie in no part of their own: a transformer's tokens and position embeddings."""
    inside = {id(parameter) for _, path in _parts(body) for parameter in body.get_submodule(path).parameters()}
    return [parameter for parameter in body.parameters() if id(parameter) not in inside]


def _parts(body: nn.Module, prefix: str = "") -> list[tuple[str, str]]:
    """(name, path) of the top-level parts; known containers, and what wraps stages, replaced by their children."""
    parts: list[tuple[str, str]] = []
    for name, child in body.named_children():
        path = prefix + name
        if name in _CONTAINERS and isinstance(child, nn.Sequential | nn.ModuleList):
            for inner, _ in child.named_children():
                parts.append((f"{name}.{inner}" if inner.isdigit() else inner, f"{path}.{inner}"))
        elif _wraps_stages(name, child):
            parts += _parts(child, f"{path}.")
        else:
            parts.append((name, path))
    return parts


def _wraps_stages(name: str, child: nn.Module) -> bool:
    """Whether the child is torchvision's transformer encoder, or the convolutional part of a hybrid transformer."""
    inside = {inner for inner, _ in child.named_children()}
    if name == "patch_embed":
        return "backbone" in inside
    return name in ("backbone", "encoder") and bool(inside & _CONTAINERS)
