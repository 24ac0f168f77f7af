"""YAML as a recipe reads and writes it: 1.2's words for numbers and booleans, no key twice.

PyYAML follows YAML 1.1, where `off` is false, `1e-3` is text and a second key silently wins.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

_WORDS = [
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", "~nN\0"),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("tag:yaml.org,2002:merge", r"<<", "<"),
]


class Loader(yaml.SafeLoader):
    """Safe loader that reads YAML 1.2 scalars and refuses a key given twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own name)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; a key that stands in it twice is an error."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key is not a word", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


class Dumper(yaml.SafeDumper):
    """Safe dumper that quotes what `Loader` would read as something else, and keeps lists of scalars on one line."""


for _tag, _pattern, _first in _WORDS:
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), ["", *_first.replace("\0", "")])


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # YAML 1.1 would read 010 as eight


def _inline_list(dumper: Dumper, data: list[object]) -> yaml.Node:
    inline = all(item is None or isinstance(item, str | int | float) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=inline)


Loader.add_constructor("tag:yaml.org,2002:int", _integer)
Dumper.add_representer(list, _inline_list)


def parse(text: str) -> object:
    """The value that `text` stands for.

    Raises
    ------
    yaml.YAMLError
        Where the text is not YAML or gives a key twice; `explain` makes a sentence of it.
    """
    return yaml.load(text, Loader=Loader)


def write(value: object) -> str:
    """`value` as YAML that `parse` reads back alike; keys stay in their order."""
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def explain(error: yaml.YAMLError) -> str:
    """One line on what is wrong with a YAML text, and where."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    return error.problem if mark is None else f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
