"""The errors that reach a user, and the word that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CcxrError(Exception):
    """Something failed while running; the command ends with exit code 1."""

    exit_code = 1


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
