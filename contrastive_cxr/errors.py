"""The errors that reach a user, and the word that was probably meant."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable
from pathlib import Path


class CcxrError(Exception):
    """Something failed while running; the command ends with exit code 1."""

    exit_code: int = 1


class Interrupted(CcxrError):
    """A signal asked a training to stop; its state is saved, the message says how to go on.

    The exit code is 128 and the signal's number, as of a shell: Ctrl-C 130, SIGTERM 143, SIGUSR1 138.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = int(number)
        self.exit_code = 128 + self.number


class Signalled(BaseException):
    """A signal asked a command to stop where there is nothing to save; raised from the signal's handler.

    No `Exception`, as it may come up inside anything that catches those and goes on. Exit codes as of `Interrupted`.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = int(number)
        self.exit_code = 128 + self.number


class RequestError(CcxrError):
    """The request itself is wrong (recipe, path, data); exit code 2, every fault listed.

    Parameters
    ----------
    *faults : str
        One sentence a fault: what, which value, what is right, what to do.
    """

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        self.faults: tuple[str, ...] = faults
        super().__init__("\n".join(faults))


def visible(text: str) -> str:
    """The text with line breaks, control characters and what turns the writing direction as escapes: one line.

    A terminal obeys some of them, and a file may be named with them.

    Examples
    --------
    >>> print(visible("scan 7\\n\\x1b[2J.png"))
    scan 7\\n\\x1b[2J.png
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def raise_faults(faults: Iterable[str]) -> None:
    """Raise one `RequestError` with all `faults`, or return where there are none."""
    found = list(faults)
    if found:
        raise RequestError(*found)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the known word nearest to `word` (in any case), or an empty string.

    Examples
    --------
    >>> nearest("epoch", ["epochs", "lr"])
    " (did you mean 'epochs'?)"
    >>> nearest("zebra", ["epochs", "lr"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f" (did you mean '{by_lower[close[0]]}'?)" if close else ""


def nearest_beside(path: Path) -> str:
    """As `nearest`, for a path where nothing is: of the names in its folder."""
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return ""
