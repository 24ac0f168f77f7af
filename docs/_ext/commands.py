"""The directive `command-line`: every command with arguments and options, read from typer when the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from contrastive_cxr.cli.app import app as ccxr


def commands(group: Any = None, words: str = "ccxr") -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it, in the order of `--help`."""
    group = typer.main.get_command(ccxr) if group is None else group
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield f"{words} {name}", command
            yield from commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def escaped(text: str) -> str:
    """A text inside a Markdown table."""
    return re.sub(r"([|*<\[\]{}])", r"\\\1", " ".join(text.split()))


def value_words(parameter: Any) -> str:
    """What an option's value is: PATH, NUMBER (with its range), TEXT."""
    kind = parameter.type_descriptor.annotation
    word = {Path: "PATH", int: "NUMBER", float: "NUMBER"}.get(kind, "TEXT")
    ends = [f"{sign}{end}" for sign, end in (("≥", parameter.min), ("≤", parameter.max)) if end is not None]
    return " ".join([word, *ends])


def names(parameter: Any) -> str:
    """How a parameter is written."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    found = [*parameter.opts, *parameter.secondary_opts]
    metavar = "" if parameter.is_flag else f" {parameter.metavar or value_words(parameter)}"
    return ", ".join(f"`{each}{metavar}`" for each in found)


def default(parameter: Any) -> str:
    """The default, or that it must be given."""
    if parameter.required:
        return "must be given"
    value = parameter.default
    return "-" if value is None or value is False or callable(value) or value == () else f"`{value}`"


def described(words: str, command: Any) -> list[str]:
    """One command as Markdown."""
    lines = [f"## {words}", "", (command.help or "").strip().replace("[", "\\["), ""]
    rows = [
        f"| {names(each)} | {escaped(getattr(each, 'help', '') or '')} | {default(each)} |"
        for each in command.params
        if each.name != "help" and not getattr(each, "hidden", False)
    ]
    return lines + (["| argument or option | meaning | default |", "| --- | --- | --- |", *rows, ""] if rows else [])


def page() -> str:
    """All commands as Markdown."""
    return "\n".join(line for words, command in commands() for line in described(words, command))


class CommandLine(SphinxDirective):
    """Puts the commands in the directive's place."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(page(), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True}
