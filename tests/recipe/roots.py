"""Where a shipped recipe's images would be."""

from __future__ import annotations

from typing import Any

from contrastive_cxr import shipped
from contrastive_cxr.recipe.text import yaml_text


def roots(name: str) -> list[str]:
    """The overrides that a shipped recipe cannot be loaded without: a root for each of its sources."""
    tree: Any = yaml_text.parse(shipped.path(name).read_text())
    data = tree["data"]
    if "join" in data:
        return [f"data.join.{number}.root=images" for number in range(len(data["join"]))]
    return [] if data.get("source") == "phantom" else ["data.root=images"]
