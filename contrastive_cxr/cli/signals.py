"""Signals that end a command outside of a training's loop, which answers them itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from contrastive_cxr.errors import Signalled

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def raised() -> Iterator[None]:
    """Raise `Signalled` where the first signal comes; later ones are passed over, but for another Ctrl-C.

    Schedulers send the same signal more than once, and what is being put in order must not be interrupted again.
    """
    came: list[int] = []

    def answer(number: int, frame: FrameType | None) -> None:
        first = not came
        came.append(number)
        if first or number == signal.SIGINT:
            raise Signalled(number)

    if threading.current_thread() is not threading.main_thread():  # python gives signals to that one alone
        yield
        return
    before = {number: signal.signal(number, answer) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
