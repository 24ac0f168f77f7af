"""Work that nobody waits for: a thread of its own, one thing after the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

WAITING = 10_000
"""Things that may wait, some 10 MB of logged rows: more would be work that is never done."""


class BackgroundWorker:
    """Does what it is told in a thread of its own; the first failure ends it, and what comes after is left undone.

    Parameters
    ----------
    name : str
        Of the thread.
    failed : callable
        `failed(error)`, called once: what the work raised, or a `TimeoutError` where more than `WAITING` things wait.
    """

    def __init__(self, name: str, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._open = True
        self._waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(WAITING)
        # daemon: a library that never answers must not hold the program's end
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def do(self, what: Callable[[], object]) -> None:
        """Do this after what came before; returns at once."""
        if not self._open:
            return
        try:
            self._waiting.put_nowait(what)
        except queue.Full:
            self._open = False
            error = TimeoutError(f"{WAITING} things wait to be done")
            threading.Thread(target=self._failed, args=(error,), daemon=True).start()  # it may wait, the caller not

    def close(self, seconds: float) -> bool:
        """Take nothing more, and wait at most `seconds` for what is left; whether all was done or given up."""
        if self._open:
            self._open = False
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                return False
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (what := self._waiting.get()) is not None:
            try:
                what()
            except Exception as error:  # whatever the library raises: it has this thread, not the run
                self._open = False
                self._failed(error)
                return
