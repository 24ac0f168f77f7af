"""A backbone divided into named blocks, by which a recipe freezes and thaws it."""

from __future__ import annotations

import re

from torch import nn

_CONTAINERS = {"features", "stages", "blocks", "layers", "trunk_output"}
_STAGE = re.compile(r"(layer|denseblock|stage|block|s)\d+$|(features|stages|blocks|layers)\.\d+$")


def divide(body: nn.Module) -> dict[str, list[str]]:
    """Divide a backbone into named blocks, in forward order.

    What comes before the first stage is `stem`; a stage (`layer1`, `denseblock1`, `stages.0`) is a block of its own,
    and so is every other top-level part with parameters. Parts without parameters join the block before them. A part
    that torchvision calls `classifier` and that keeps layers is `neck`, as `classifier` is the name of our head.

    Returns
    -------
    dict of str to list of str
        Block name: paths of its modules inside `body`.
    """
    found: dict[str, list[str]] = {}
    stages = [name for name, _ in _parts(body) if _STAGE.match(name)]
    before_stages, last = bool(stages), "stem"
    for name, path in _parts(body):
        before_stages = before_stages and name != stages[0]
        bare = next(body.get_submodule(path).parameters(), None) is None
        if before_stages:
            last = "stem"
        elif not bare:
            last = {"classifier": "neck", "projection": "neck"}.get(name, name)
        found.setdefault(last, []).append(path)
    return found


def _parts(body: nn.Module) -> list[tuple[str, str]]:
    """(name, path) of the top-level parts, known containers replaced by their children."""
    parts: list[tuple[str, str]] = []
    for name, child in body.named_children():
        if name in _CONTAINERS and isinstance(child, nn.Sequential | nn.ModuleList):
            for inner, _ in child.named_children():
                path = f"{name}.{inner}"
                parts.append((path if inner.isdigit() else inner, path))
        else:
            parts.append((name, name))
    return parts
