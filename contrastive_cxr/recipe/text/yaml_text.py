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


LONGEST = 2**20  # characters; the longest shipped recipe has 3,000
DEEPEST = 50  # sections in sections
MOST = 100_000  # values, those behind an alias counted wherever it stands
DIGITS = 18  # of a whole number: what 64 bits hold
LINE_ENDS = "\x85\u2028\u2029"  # that YAML knows besides those of files


class Loader(yaml.SafeLoader):
    """Safe loader that reads YAML 1.2 scalars and refuses what no recipe needs.

    Refused are a key given twice, tags (`!!python/...`, `!!set`), sections deeper than `DEEPEST`, aliases that make
    more than `MOST` values of a few lines or stand inside themselves, and whole numbers that 64 bits do not hold.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own name)

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Build a node of the tree; explicit tags and bottomless sections are errors."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise yaml.composer.ComposerError(
                None, None, f"the tag '{tag}' is not read; write a plain value", event.start_mark
            )
        if self.depth >= DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"more than {DEEPEST} sections deep", event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_document(self, node: yaml.Node) -> Any:
        """Build the values, after they were counted with every alias in full."""
        _count(node, {})
        return super().construct_document(node)

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

    def check_simple_key(self) -> bool:
        """Whether a key stands before a colon; also the empty text, for which PyYAML writes `? '' : value`."""
        event = self.event
        empty = isinstance(event, yaml.ScalarEvent) and event.value == ""
        return empty or bool(super().check_simple_key())


for _tag, _pattern, _first in _WORDS:
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), ["", *_first.replace("\0", "")])


def _count(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for, and how deep; `known` holds what was counted, 0 while it is."""
    if id(node) in known:
        if not known[id(node)][0]:
            raise yaml.composer.ComposerError(None, None, "an alias stands inside itself", node.start_mark)
        return known[id(node)]
    known[id(node)] = 0, 0
    inner = [] if isinstance(node, yaml.ScalarNode) else node.value
    parts = [part for pair in inner for part in pair] if isinstance(node, yaml.MappingNode) else inner
    counted = [_count(part, known) for part in parts]
    count, depth = 1 + sum(each for each, _ in counted), 1 + max((each for _, each in counted), default=0)
    if count > MOST:
        raise yaml.composer.ComposerError(None, None, f"aliases make more than {MOST} values of it", node.start_mark)
    if depth > DEEPEST:
        raise yaml.composer.ComposerError(None, None, f"more than {DEEPEST} sections deep", node.start_mark)
    known[id(node)] = count, depth
    return known[id(node)]


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if len(text.lstrip("+-0")) > DIGITS:
        raise yaml.constructor.ConstructorError(
            None, None, f"a whole number of more than {DIGITS} digits", node.start_mark
        )
    return int(text)  # YAML 1.1 would read 010 as eight


def _inline_list(dumper: Dumper, data: list[object]) -> yaml.Node:
    inline = all(item is None or isinstance(item, str | int | float) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=inline)


def _quoted(dumper: Dumper, data: str) -> yaml.Node:
    # PyYAML writes these line ends as they are and reads them back as spaces; in double quotes it escapes them
    style = '"' if any(end in data for end in LINE_ENDS) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


Loader.add_constructor("tag:yaml.org,2002:int", _integer)
Dumper.add_representer(list, _inline_list)
Dumper.add_representer(str, _quoted)


def parse(text: str) -> object:
    """The value that `text` stands for.

    Raises
    ------
    yaml.YAMLError
        Where the text is not YAML, or holds what `Loader` refuses; `explain` makes a sentence of it.
    """
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"it has {len(text)} characters, and a recipe at most {LONGEST}")
    return yaml.load(text, Loader=Loader)  # nosec B506  # Loader is a SafeLoader


def write(value: object) -> str:
    """`value` as YAML that `parse` reads back alike; keys stay in their order."""
    text: str = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def inline(value: object) -> str:
    """`value` as YAML on one line, as a command takes it.

    Examples
    --------
    >>> inline({"normal": ["Normal", "0"], "ill": ["a: b"]})
    "{normal: [Normal, '0'], ill: ['a: b']}"
    """
    text: str = yaml.dump(
        value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=True
    )
    return text.removesuffix("\n").removesuffix("\n...")


def explain(error: yaml.YAMLError) -> str:
    """One line on what is wrong with a YAML text, and where."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    return error.problem if mark is None else f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
