"""A recipe as a file that a person reads: each guessed setting under the reason for it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from contrastive_cxr.datasets.new_recipe.guess import Tree
from contrastive_cxr.errors import visible
from contrastive_cxr.recipe.text import yaml_text

WIDTH = 120
_TITLES = {
    "data": "the images: ccxr recipes fields data",
    "task": "which labels are which class: ccxr recipes fields task",
    "model": "the backbone and its input",
    "pretrain": "phase 1: supervised fine-tuning of the backbone",
    "embed": "phase 2: contrastive training of the embedding",
    "finetune": "phase 3: a classifier head on the embedding",
    "evaluation": "what is scored",
    "runtime": "the machine",
}


def write(head: list[str], tree: Tree, reasons: Mapping[str, str]) -> str:
    """The text of a recipe.

    Parameters
    ----------
    head : list of str
        Lines of the comment at its top.
    tree : dict
        The recipe; YAML reads the text back to the same.
    reasons : {str: str}
        Comments, by the dotted names of settings.
    """
    lines = [f"# {visible(line)}".rstrip() for line in head]
    for name, value in tree.items():
        lines += ["", *_setting(name, value, reasons, "", _TITLES.get(name, ""))]
    text = "\n".join(lines) + "\n"
    assert yaml_text.parse(text) == tree, "the text is the recipe"
    return text


def _setting(path: str, value: Any, reasons: Mapping[str, str], indent: str, title: str = "") -> list[str]:
    """The lines of a setting: its reason, then it, in one line where it is short and nothing in it has a reason."""
    name = path.rpartition(".")[2]
    key = yaml_text.inline(name)
    why = [title, reasons.get(path, "")]
    lines = [line for words in why if words for line in _comment(words, indent)]
    inside = any(each.startswith(f"{path}.") for each in reasons)
    flow = f"{indent}{key}: {yaml_text.inline(value)}"
    if isinstance(value, dict) and value and (inside or not indent or len(flow) > WIDTH or path == "task.classes"):
        lines.append(f"{indent}{key}:")
        for inner, each in value.items():
            lines += _setting(f"{path}.{inner}", each, reasons, f"{indent}  ")
        return lines
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return [*lines, *(f"{indent}{line}" for line in yaml_text.write({name: value}).splitlines())]
    return [*lines, flow]


def _comment(words: str, indent: str) -> list[str]:
    """A sentence as comment lines."""
    start = f"{indent}# "
    return textwrap.wrap(
        visible(words), WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
