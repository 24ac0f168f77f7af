"""Settings of recipes beside each other: which of them differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

# What a run is called and where it keeps things says nothing of how it was trained.
_LEFT_OUT = ("name", "tracking", "data.cache_dir", "data.workers", "data.shards")
GIVEN = "given"
# A set's name, or a mapping over one: one setting in either form.
_ONE = ("augment", "positive_augment")


def flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Settings by dotted name; a list is one setting, and so is an augmentation.

    Examples
    --------
    >>> flat({"seed": 1, "model": {"backbone": "resnet18"}})
    {'seed': 1, 'model.backbone': 'resnet18'}
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value and key not in _ONE:
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def differing(recipes: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Settings that are not the same in all recipes.

    A section that one recipe lacks is one difference (`given` or None), not one a setting. What an older recipe does
    not record is no difference.

    Parameters
    ----------
    recipes : sequence of (name, tree)

    Returns
    -------
    {setting: {name: value}}, in the order of the recipes' settings; None for a setting that a recipe has not.
    """
    trees = {name: flat(tree) for name, tree in recipes if tree}
    sections = _lacking(trees)
    found: dict[str, dict[str, Any]] = {}
    for key in dict.fromkeys(key for tree in trees.values() for key in tree):
        if any(key == word or key.startswith(f"{word}.") for word in _LEFT_OUT):
            continue
        section = next((word for word in sections if key == word or key.startswith(f"{word}.")), None)
        if section is not None:
            has = {name: any(each.startswith(f"{section}.") for each in tree) for name, tree in trees.items()}
            found[section] = {name: GIVEN if given else None for name, given in has.items()}
            continue
        values = {name: tree[key] for name, tree in trees.items() if key in tree}
        if len({json.dumps(value, sort_keys=True, default=str) for value in values.values()}) > 1:
            found[key] = {name: values.get(name) for name in trees}
    return found


def _lacking(trees: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Sections that are None in one recipe and have settings in another."""
    none = {key for tree in trees.values() for key, value in tree.items() if value is None or value == {}}
    return [key for key in sorted(none) if any(each.startswith(f"{key}.") for tree in trees.values() for each in tree)]
