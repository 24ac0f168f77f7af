"""Streams that tests put in the place of the terminal."""

from __future__ import annotations

import io


class Stream(io.StringIO):
    """A stream that is a terminal, or none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal
