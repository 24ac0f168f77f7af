"""Whether the host of a download answers: asked once and within seconds, before a library begins its silent retries."""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.error
import urllib.request

SECONDS = 8.0
"""As long as a host is waited for."""
BUSY = (407, 408, 429, 500, 502, 503, 504)
"""HTTP statuses of a host or a proxy that does not do what it is asked: later perhaps."""


def silent(address: str, seconds: float | None = None) -> str:
    """Why a host cannot be reached, in words; '' where it answers, unless it says that it cannot do so now.

    Proxies are those of the environment (`https_proxy`, ...). A host whose certificate is not trusted answers: what
    downloads from it may trust others.

    Parameters
    ----------
    address : str
        Begins with `http://` or `https://`.
    seconds : float
        As long as it is waited for, the look-up of its name among it; none: `SECONDS`.
    """
    limit = SECONDS if seconds is None else seconds
    found: list[str] = []
    # a look-up of a name knows no timeout, so it is left alone after that time
    asked = threading.Thread(target=lambda: found.append(_asked(address, limit)), daemon=True)
    asked.start()
    asked.join(limit)
    return found[0] if found else f"no answer within {limit:g} seconds"


def busy(status: int) -> str:
    """What an HTTP status says that libraries try again for up to a minute; '' for any other.

    Examples
    --------
    >>> busy(503), busy(404)
    ('it answers with HTTP status 503', '')
    """
    return f"it answers with HTTP status {status}" if status in BUSY else ""


def _asked(address: str, seconds: float) -> str:
    request = urllib.request.Request(address, method="HEAD")
    try:
        # An opener of its own: that of the library keeps the proxies of its first call.
        with urllib.request.build_opener().open(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError as error:
        return busy(error.code)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError | ValueError):
            return ""
        if isinstance(reason, socket.gaierror):
            return "the name of the host is not known here"
        if isinstance(reason, ConnectionRefusedError):
            return "the connection is refused"
        return f"no answer within {seconds:g} seconds" if isinstance(reason, TimeoutError) else "there is no connection"
