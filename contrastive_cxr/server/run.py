"""Serve until a signal: what is being answered is finished first."""

from __future__ import annotations

import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from contrastive_cxr.server.limits import Limits

SIGNALS = (signal.SIGINT, signal.SIGTERM)
logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server; a signal is an end like any other, and is not raised again behind it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal, at once at a second Ctrl-C."""
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(app: FastAPI, listening: socket.socket, limits: Limits, proxies: str = "") -> None:
    """Answer on a socket until SIGINT or SIGTERM.

    Parameters
    ----------
    app : FastAPI
        Of `app.build`.
    listening : socket
        Of `access.bound`.
    limits : Limits
    proxies : str
        Addresses of reverse proxies, with commas, whose X-Forwarded-For names the client; '' believes none.
    """
    raise_open_files()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(limits.upload_seconds + limits.answer_seconds) + 1,
    )
    Server(config).run(sockets=[listening])


def raise_open_files() -> None:
    """Allow as many connections as the system lets this process have: often 1024 are the first word only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
