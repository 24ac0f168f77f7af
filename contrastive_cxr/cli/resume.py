"""`--resume`, and `--resume auto`.

Typer knows options with a value and options without, and none whose value may be left out. So the value of a bare
`--resume` is put in before the line is parsed, and only the word `auto` is taken for one: `--resume embed.epochs=5` is
a setting, as it always was.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from contrastive_cxr.cli.help import Command

WORD = "--resume"


class Choice(StrEnum):
    """What `--resume` may say."""

    yes = "yes"
    auto = "auto"


Resume = Annotated[
    Choice | None,
    typer.Option(
        WORD, metavar="[auto]", help="Go on with the run in --out; auto: begin one, go on, or show the finished one."
    ),
]


class Resumable(Command):
    """A command with `--resume [auto]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the line with every `--resume` given its value."""
        return super().parse_args(ctx, spelled_out(args))


def spelled_out(words: list[str]) -> list[str]:
    """The words with `yes` behind each `--resume` that has no value; nothing behind a bare `--` is touched.

    Examples
    --------
    >>> spelled_out(["phantom", "--resume", "embed.epochs=5"])
    ['phantom', '--resume', 'yes', 'embed.epochs=5']
    >>> spelled_out(["phantom", "--resume", "auto"])
    ['phantom', '--resume', 'auto']
    """
    end = words.index("--") if "--" in words else len(words)
    found: list[str] = []
    for place, word in enumerate(words[:end]):
        found.append(word)
        if word == WORD and words[place + 1 : place + 2] != [Choice.auto.value]:
            found.append(Choice.yes.value)
    return found + words[end:]
