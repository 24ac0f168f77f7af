"""What is seen of a command while it works: how much it says, and the stages of work that takes minutes."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from contrastive_cxr import status_line
from contrastive_cxr.alerts import Alert, wrapped
from contrastive_cxr.status_line import Part, duration

if TYPE_CHECKING:
    from rich.live import Live

log = logging.getLogger(__name__)
SOON = 1.0
"""Seconds that a stage takes before it gets a line where no terminal shows a status line."""
EVERY = 10.0
"""Seconds until the same stage gets another line; each further one waits twice as long."""
AGAIN = 60.0
"""Seconds that a further line waits at most."""
_quiet = False
_open: list[Stages] = []


def is_quiet() -> bool:
    """Whether only warnings, errors and the places of results are wanted."""
    return _quiet


def is_verbose() -> bool:
    """Whether details and debug messages are wanted."""
    return logging.getLogger(__package__).level == logging.DEBUG


@contextmanager
def silence() -> Iterator[None]:
    """Show no progress meanwhile."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def set_amount(*, quiet: bool = False, verbose: bool = False) -> None:
    """Say how much is wanted of this process from now on.

    Parameters
    ----------
    quiet : bool
        Leave out progress, notes and tables of scores.
    verbose : bool
        Also show the debug messages of this package.
    """
    global _quiet
    _quiet = quiet
    logging.getLogger(__package__).setLevel(logging.DEBUG if verbose else logging.NOTSET)


class Messages(logging.StreamHandler[TextIO]):
    """Log messages on what `sys.stderr` is at that time, so that a table or a bar on the terminal makes way for them.

    A warning is its sentence alone; a debug message has the time and the part of the package that it comes from.
    """

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("%(message)s"))
        self._debug = logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """The message as it is shown."""
        found = getattr(record, "alert", None)
        if isinstance(found, Alert):
            return found.text(self.stream)
        text = self._debug.format(record) if record.levelno < logging.WARNING else super().format(record)
        return wrapped(text, self.stream)


class Stages:
    """The named stages of long work: a status line on a terminal, otherwise a line for each stage that takes a second.

    The stages are named by `stage` before they begin, from wherever the work is done. Work inside of work moves the bar
    of the outer one within its stage. Nothing is shown where all shall be quiet.

    Parameters
    ----------
    work : str
        What is done, such as `scoring`.
    total : int
        How many stages there are; some may be left out.
    shown : bool
        Whether a status line or lines are shown; of several processes (torchrun) the first one shows them.
    first : str
        The first stage, where it begins at once.
    """

    def __init__(self, work: str, total: int, shown: bool = True, *, first: str = "") -> None:
        self._work, self._total = work, max(total, 1)
        self._shown = shown and not _quiet and os.environ.get("RANK", "0") == "0"
        self._number, self._share, self._name, self._since = 0, 0.0, "", time.monotonic()
        self._began = self._since
        self._first = first
        self._inner = ""
        self._outer: Stages | None = None
        self._ended = threading.Event()
        self._lines: threading.Thread | None = None
        self._live: Live | None = None

    def __enter__(self) -> Stages:
        self._outer = _open[-1] if _open else None
        _open.append(self)
        if self._first:
            self.begin(self._first)
        if self._shown and self._outer is None:
            if status_line.is_possible():
                self._live = status_line.started(self.parts)
            else:
                self._lines = threading.Thread(target=self._speak, name="stages", daemon=True)
                self._lines.start()
        return self

    def __exit__(self, *error: object) -> None:
        _open.remove(self)
        self._tell()
        self._ended.set()
        if self._outer is not None:
            self._outer._inner = ""
        if self._lines is not None:
            self._lines.join()
        if self._live is not None:
            self._live.stop()

    @property
    def done(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return min(1.0, (max(self._number - 1, 0) + self._share) / self._total)

    @property
    def name(self) -> str:
        """The stage, and in brackets that of the work inside of it."""
        return f"{self._name} ({self._inner})" if self._name and self._inner else self._name or self._inner

    def begin(self, name: str) -> None:
        """The next stage begins."""
        self._tell()
        self._number, self._share, self._name, self._since = self._number + 1, 0.0, name, time.monotonic()
        self._show()

    def reword(self, name: str) -> None:
        """The stage that has begun goes on under another name."""
        self._name = name
        self._show()

    def share(self, done: float, total: float) -> None:
        """So much of the stage is done, in any unit."""
        self._share = min(1.0, done / total) if total else 1.0
        self._show()

    def parts(self) -> list[Part]:
        """The status line; without a bar as long as nothing is known to be done."""
        done, passed = self.done, round(time.monotonic() - self._began)
        clock = f"{passed // 3600}:{passed // 60 % 60:02}:{passed % 60:02}"
        bar = [Part("", 3, done), Part(f"{100 * done:.0f} %", 2)] if done else []
        return [Part(self._work, 1), *bar, Part(clock, 4), Part(self._inner or self._name, 0)]

    def _tell(self) -> None:
        if self._name and self._outer is None:
            log.debug("%s: %s took %.1f s", self._work, self._name, time.monotonic() - self._since)

    def _show(self) -> None:
        if self._outer is not None:
            self._outer._inner = self.name
            self._outer.share(self.done, 1)

    def _speak(self) -> None:
        """Lines from a thread of their own, so that a stage that says nothing of itself is named too."""
        said, at, gap = "", 0.0, EVERY
        while not self._ended.wait(min(SOON, EVERY) / 4):
            now = time.monotonic()
            new = self._name != said and now - self._since >= SOON
            if not new and now - max(at, self._began) < gap:
                continue
            gap = EVERY if self._name != said else min(2 * gap, AGAIN)
            said, at = self._name, now
            words = [self.name] * bool(self.name) + [f"{100 * self.done:.0f} %"] * bool(self.done)
            words += [] if new else [f"{duration(now - self._since)} so far"]
            sys.stderr.write(f"{self._work}: {', '.join(words)}\n")
            sys.stderr.flush()


def note(line: str) -> None:
    """A line to stderr about what is done; the first process writes it, where not all shall be quiet."""
    if not _quiet and os.environ.get("RANK", "0") == "0":
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def stage(name: str) -> None:
    """Name the next stage of the work that is shown; nothing happens where none is."""
    if _open:
        _open[-1].begin(name)


def share(done: float, total: float) -> None:
    """Say how much of the stage is done, in any unit; nothing happens where no work is shown."""
    if _open:
        _open[-1].share(done, total)
