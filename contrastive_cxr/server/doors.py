"""How many requests are in the house, and how many bytes they brought."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from contrastive_cxr.server.limits import Limits
from contrastive_cxr.server.refusals import Refusal


class Held:
    """What one request holds of the memory for uploads."""

    def __init__(self, doors: Doors) -> None:
        self.doors, self.bytes = doors, 0

    def take(self, count: int) -> None:
        """Hold so many more bytes.

        Raises
        ------
        Refusal
            All requests together would hold too many.
        """
        if self.doors.bytes + count > self.doors.limits.held_bytes:
            raise Refusal("busy", "The server holds as many uploads as it has memory for.", retry=2)
        self.doors.bytes += count
        self.bytes += count

    def release(self) -> None:
        """Hold nothing any more."""
        self.doors.bytes -= self.bytes
        self.bytes = 0


class Doors:
    """Counts of the requests that are inside; the event loop's thread alone touches them.

    Attributes
    ----------
    requests, bytes : now inside, and what they brought
    closing : no one is let in any more
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests, self.bytes, self.closing = 0, 0, False

    @contextmanager
    def entered(self) -> Iterator[Held]:
        """A request from its first byte to its answer.

        Raises
        ------
        Refusal
            There are as many inside as may be, or the server is stopping.
        """
        if self.closing:
            raise Refusal("stopping", retry=5)
        if self.requests >= self.limits.requests:
            raise Refusal("busy", f"{self.requests} requests are being answered; no more are taken.", retry=2)
        self.requests += 1
        held = Held(self)
        try:
            yield held
        finally:
            held.release()
            self.requests -= 1
