"""The JSON schema of recipes, from which editors complete and check the keys of a recipe file."""

from __future__ import annotations

from typing import Any

import contrastive_cxr.recipe.public_sets as public_sets
from contrastive_cxr import tasks
from contrastive_cxr.recipe.schema import Recipe

TITLE = "Recipe of contrastive_cxr"
FILE = "recipe.schema.json"
LINE = f"# yaml-language-server: $schema={FILE}"
"""The comment by which an editor finds the schema in a file beside the recipe."""

Tree = dict[str, Any]


def json_schema() -> Tree:
    """The schema (JSON Schema 2020-12) of what `recipe.load` reads, as a tree of plain values.

    It has the keys, types, limits, words and defaults of the pydantic models, and the short forms that a recipe file
    may use in their place: a task's name, a public set's name, one word for `data.intensity`. Faults that need more
    than one key, such as a `choose_by` that the phase cannot compute, are found by `ccxr run --dry-run` alone.
    """
    tree = Recipe.model_json_schema()
    definitions = tree["$defs"]
    task: Tree = {"anyOf": [{"type": "string", "examples": _task_names()}, {"$ref": "#/$defs/Task"}]}
    for section, keys in ((tree, ("task",)), (definitions["Cascade"], ("stage1", "stage2"))):
        for key in keys:
            section["properties"][key] = task | {"description": section["properties"][key]["description"]}
    for name in ("Source", "Data"):
        definitions[name]["properties"]["source"]["enum"] += public_sets.names()
    kind = definitions["Intensity"]["properties"]["kind"]
    intensity = definitions["Data"]["properties"]["intensity"]
    intensity["anyOf"] = [{"enum": kind["enum"]}, {"$ref": intensity.pop("$ref")}]
    del definitions["Augment"]["required"]  # the set is the phase's own where none is named
    columns = definitions["Merge"]["properties"]["on"]
    text = {"type": "string"}
    mapping = {"type": columns.pop("type"), "additionalProperties": columns.pop("additionalProperties")}
    columns.pop("minLength", None)  # pydantic's, which is not said of mappings
    lists = {"type": "array", "items": text, "minItems": 1}
    columns["anyOf"] = [text, lists, {**mapping, "minProperties": 1}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(tree), "title": TITLE}


def _task_names() -> list[str]:
    """The shipped tasks and those of the public sets."""
    sets = {name: public_sets.page(name) for name in public_sets.names()}
    return [*tasks.SHIPPED, *(f"{name}/{task}" for name, page in sets.items() for task in page.tasks)]


def _plain(tree: Any) -> Any:
    """The tree without the titles that pydantic makes of the keys' names, and with `anyOf` in the place of `oneOf`.

    A path and a URL are both text for a schema, so exactly one of them never fits. A key that is called `title` stays.
    """
    if isinstance(tree, list):
        return [_plain(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    found = {}
    for key, value in tree.items():
        if key in ("properties", "$defs"):
            found[key] = {name: _plain(each) for name, each in value.items()}
        elif key != "title" and key != "discriminator":
            found["anyOf" if key == "oneOf" else key] = _plain(value)
    return found
