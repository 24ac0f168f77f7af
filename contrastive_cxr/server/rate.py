"""How often a client may ask: a bucket of tokens a client, which fills again as time passes."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

KNOWN = 10_000
"""Clients that are remembered; of more the one that asked least recently is forgotten, which fills its bucket."""


class Rate:
    """A token bucket a client.

    Parameters
    ----------
    rate : float
        Requests a second that a bucket is filled with; 0: no limit.
    burst : int
        Requests that a full bucket holds.
    clock : callable
        Seconds, rising.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self.clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Take one token: 0 where there was one, else the seconds until there is one."""
        if not self.rate:
            return 0.0
        now, key = self.clock(), network(client)
        held, then = self._buckets.pop(key, (float(self.burst), now))
        held = min(float(self.burst), held + (now - then) * self.rate)
        lacking = 1.0 - held
        self._buckets[key] = (held if lacking > 0 else held - 1.0, now)
        if len(self._buckets) > KNOWN:
            self._buckets.popitem(last=False)
        return max(0.0, lacking / self.rate)


def network(client: str) -> str:
    """What counts as one client: an IPv4 address, or the 64 bits of an IPv6 network, which one household has.

    Examples
    --------
    >>> network("192.0.2.7"), network("2001:db8::1") == network("2001:db8::2")
    ('192.0.2.7', True)
    """
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if address.version == 4:
        return client
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
