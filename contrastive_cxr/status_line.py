"""The last line of a terminal while a command works: what is done, how far it is, how long it takes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live
    from rich.text import Text

NARROWEST = 40
"""Columns of a terminal below which no status line is shown, but plain lines."""
BAR = (8, 24)
"""Columns of the bar, at least and at most."""
LEAST = 24
"""Letters that the piece of rank 0 keeps before others are left out."""
SPARE = 3
"""Columns that stay free behind the line: terminals show a Ctrl-C as `^C` there, and some break a full line."""
GAP = "  "


@dataclass(frozen=True)
class Part:
    """A piece of the line: its words, and when it is left out: of a line that is too long the largest `rank` first.

    The piece of rank 0 is never left out but cut. `share` (0 to 1) makes the piece a bar.
    """

    words: str
    rank: int
    share: float | None = None


def is_possible() -> bool:
    """Whether stderr is a terminal that can draw over its last line: not a dumb one, not a notebook, not too narrow."""
    return (
        sys.stderr.isatty()
        and os.environ.get("TERM", "").lower() not in ("", "dumb", "unknown")
        and not in_notebook()
        and shutil.get_terminal_size().columns >= NARROWEST
    )


def has_styles() -> bool:
    """Whether bold and colours may be written to a terminal: `NO_COLOR` is not set, it is not dumb, and no notebook.

    A cell of a notebook keeps what is written to it; where it is shown as text, escape codes are litter.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return not plain and not in_notebook()


def in_notebook() -> bool:
    """Whether the output goes to a cell of a notebook, also from a command that the cell starts with `!`.

    Such a command has a pseudo-terminal, but a cell cannot draw over its lines: each drawing would be printed anew.
    Jupyter sets `JPY_PARENT_PID` for its kernels; every IPython kernel sets both pagers to `cat` (also in VS Code).
    """
    pagers = [os.environ.get(name) for name in ("PAGER", "GIT_PAGER")]
    return "JPY_PARENT_PID" in os.environ or (pagers == ["cat", "cat"] and os.environ.get("TERM") == "xterm-color")


def started(parts: Callable[[], Sequence[Part]]) -> Live:
    """Show the line that `parts` gives, four times a second, until `.stop()`, which removes it.

    What is written to stdout and stderr meanwhile goes above the line; stdout that is a file stays as it is.
    """
    from rich.console import Console
    from rich.live import Live

    live = Live(
        _Line(parts), console=Console(stderr=True, highlight=False), transient=True, redirect_stdout=sys.stdout.isatty()
    )
    live.start()
    return live


class _Line:
    """The line as rich draws it, as wide as the terminal is at that time."""

    def __init__(self, parts: Callable[[], Sequence[Part]]) -> None:
        self._parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        signs = ("━", "─") if options.encoding.startswith("utf") else ("=", "-")
        yield drawn(self._parts(), options.max_width - SPARE, signs)


def fitted(parts: Sequence[Part], width: int) -> list[Part]:
    """The pieces that fit, in their order.

    Examples
    --------
    >>> pieces = [Part("audit", 1), Part("45 %", 2), Part("copies of images", 0)]
    >>> [each.words for each in fitted(pieces, 24)], [each.words for each in fitted(pieces, 10)]
    (['audit', 'copies of images'], ['copies ...'])
    """
    kept = [part for part in parts if part.words or part.share is not None]
    over = _length(kept) - width
    kept = [_cut(part, max(LEAST, len(part.words) - over)) if part.rank == 0 and over > 0 else part for part in kept]
    while len(kept) > 1 and _length(kept) > width:
        kept.remove(max(kept, key=lambda part: part.rank))
    if _length(kept) > width:
        kept = [_cut(kept[0], width)]
    return kept


def _cut(part: Part, length: int) -> Part:
    """The piece with `...` in the place of what is longer."""
    return part if len(part.words) <= length else Part(f"{part.words[: length - 3]}...", part.rank)


def drawn(parts: Sequence[Part], width: int, signs: tuple[str, str] = ("=", "-")) -> Text:
    """The line in at most `width` columns; the bar takes what the words leave."""
    from rich.text import Text

    kept = fitted(parts, width)
    length = min(BAR[1], BAR[0] + width - _length(kept))
    line = Text(no_wrap=True, overflow="crop")
    for number, part in enumerate(kept):
        line.append(GAP if number else "")
        if part.share is None:
            line.append(part.words)
            continue
        done = round(length * min(max(part.share, 0.0), 1.0))
        line.append(signs[0] * done, style="green").append(signs[1] * (length - done), style="dim")
    return line


def _length(parts: Sequence[Part]) -> int:
    return sum(BAR[0] if part.share is not None else len(part.words) for part in parts) + len(GAP) * (len(parts) - 1)


def duration(seconds: float) -> str:
    """A span of time in words, in two units at most.

    Examples
    --------
    >>> duration(0.2), duration(42), duration(200), duration(7500), duration(200000)
    ('1 s', '42 s', '3 min', '2 h 5 min', '2.3 days')
    """
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    if seconds >= 48 * 3600:
        return f"{seconds / 86400:.1f} days"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
