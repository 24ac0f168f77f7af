"""The pages of `--help`: commands in groups, sentences wrapped and never cut."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

WIDTH = 120
"""Columns that a page of help takes at most; narrower terminals get narrower pages."""
SETTINGS: dict[str, Any] = {"max_content_width": WIDTH, "help_option_names": ["-h", "--help"]}
_WHOLE = 10_000  # more letters than a first sentence has


class Command(TyperCommand):
    """A command whose arguments are shown by their own words, without the names of Python types."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line, `[OPTIONS] RECIPE [KEY=VALUE]...`."""
        pieces = [self.options_metavar] if self.options_metavar else []
        for param in self.get_params(ctx):
            pieces += [param.metavar] if _is_argument(param) and param.metavar else param.get_usage_pieces(ctx)
        return pieces

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options."""
        found: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if _is_argument(param):
                found["Arguments"].append((param.metavar or record[0].split(" ")[0], record[1]))
            else:
                found["Options"].append((re.sub(r"<list\[(\w+)\]>", r"<\1>", record[0]), record[1]))
        for title, rows in found.items():
            _write(formatter, title, rows)


class Commands(TyperGroup):
    """Commands in groups, by the `rich_help_panel` that each was added with."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group under its title, a command with the first sentence of its help."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            title = getattr(command, "rich_help_panel", None)
            row = (name, command.get_short_help_str(_WHOLE))
            groups.setdefault(title if isinstance(title, str) else "Commands", []).append(row)
        width = max((len(name) for rows in groups.values() for name, _ in rows), default=0)
        for title, rows in groups.items():
            _write(formatter, title, [(name.ljust(width), words) for name, words in rows])


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _write(formatter: Any, title: str, rows: list[tuple[str, str]]) -> None:
    """A titled list of names and sentences; nothing where there are none."""
    if rows:
        with formatter.section(title):
            formatter.write_dl(rows)
