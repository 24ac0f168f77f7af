"""Warnings that must not be overlooked: what they say, and how a terminal shows them."""

from __future__ import annotations

import logging
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from contrastive_cxr.status_line import has_styles


@dataclass(frozen=True)
class Alert:
    """What must not be overlooked.

    Attributes
    ----------
    level : str
        `leak` (red on a terminal) or `warning` (amber).
    title : str
        One line.
    sentences : sequence of str
        What was found, the worst first.
    advice, command : str
        What to do, and the command that does it, which stands alone on its line so that it can be copied; '' none.
    """

    level: str
    title: str
    sentences: Sequence[str]
    advice: str = ""
    command: str = ""

    def text(self, stream: TextIO) -> str:
        """The alert for a stream: between coloured lines and wrapped on a terminal, elsewhere plain whole lines."""
        lines = [wrapped(f"- {sentence}", stream) for sentence in self.sentences]
        lines += [wrapped(self.advice, stream)] * bool(self.advice) + [f"  {self.command}"] * bool(self.command)
        if not stream.isatty():
            return "\n".join([self.title, *lines])
        colour = "1;31" if self.level == "leak" else "1;33"
        start, end = (f"\x1b[{colour}m", "\x1b[0m") if has_styles() else ("", "")
        rule = f"{start}{'=' * shutil.get_terminal_size().columns}{end}"
        return "\n".join([rule, f"{start}{wrapped(self.title, stream)}{end}", *lines, rule])


def alert(logger: logging.Logger, found: Alert) -> None:
    """Log an alert as one warning; `terminal.Messages` shows it between coloured lines on a terminal."""
    text = [found.title, *found.sentences, *filter(None, (found.advice, found.command))]
    logger.warning("%s", "\n".join(text), extra={"alert": found})


def wrapped(text: str, stream: TextIO, under: int | None = None) -> str:
    """Lines broken between words where a terminal would break them within words; whole for a file.

    `under`: how far the further lines are moved to the right; none: below the text of a point in a list.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(_broken(line, width, under) for line in text.split("\n"))


def _broken(line: str, width: int, under: int | None) -> str:
    left = " " * (len(line) - len(line.lstrip(" -")) if under is None else under)
    return textwrap.fill(line, width, subsequent_indent=left, break_long_words=False, break_on_hyphens=False)
