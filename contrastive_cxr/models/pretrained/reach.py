"""Whether the host of a download answers: asked once and within seconds, before a library begins its silent retries."""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.error
import urllib.request

SECONDS = 8.0
"""As long as a host is waited for."""


def silent(address: str, seconds: float | None = None) -> str:
    """Why a host cannot be reached, in words; '' where it answers, whatever it says.

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


def _asked(address: str, seconds: float) -> str:
    request = urllib.request.Request(address, method="HEAD")
    try:
        # An opener of its own: that of the library keeps the proxies of its first call.
        with urllib.request.build_opener().open(request, timeout=seconds):
            return ""
    except urllib.error.HTTPError:
        return ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError | ValueError):
            return ""
        if isinstance(reason, socket.gaierror):
            return "the name of the host is not known here"
        if isinstance(reason, ConnectionRefusedError):
            return "the connection is refused"
        return f"no answer within {seconds:g} seconds" if isinstance(reason, TimeoutError) else "there is no connection"
