"""What every request passes before the application sees it: number, host, origin, rate, token; and its counts."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contrastive_cxr.server.access import Access
from contrastive_cxr.server.metrics import Metrics
from contrastive_cxr.server.rate import Rate
from contrastive_cxr.server.refusals import Refusal

logger = logging.getLogger(__name__)
OPEN = ("/health",)
"""Addresses that need no token and have no rate: what a container's health check asks for."""
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}
SLOW = (408, 499)
"""What a client is told that does not send, or is gone: there is nothing to wait for."""
DRAIN_SECONDS, DRAIN_BYTES = 5.0, 2**28


class Guard:
    """ASGI middleware; `paths` are those that are counted by name, `free` further ones that need no token."""

    def __init__(
        self, app: ASGIApp, access: Access, rate: Rate, metrics: Metrics, paths: Callable[[], set[str]],
        free: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.app, self.access, self.rate, self.metrics, self.paths = app, access, rate, metrics, paths
        self.free = (*OPEN, *free)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # none is served, and none gets past the token
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        number = secrets.token_hex(8)
        scope.setdefault("state", {})["number"] = number
        exchange = _Exchange(scope, receive, send, number)
        begun = time.monotonic()
        try:
            self.check(scope)
            await self.app(scope, exchange.receive, exchange.send)
        except Refusal as refusal:
            await refusal.response(number)(scope, exchange.receive, exchange.send)
        finally:
            self._count(scope, exchange.status, time.monotonic() - begun)

    def check(self, scope: Scope) -> None:
        """Refuse what may not ask.

        Raises
        ------
        Refusal
        """
        headers, path = Headers(scope=scope), scope["path"]
        if self.access.hosts and _host(headers.get("host", "")) not in self.access.hosts:
            raise Refusal("unknown-host")
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise Refusal("foreign-origin")
        if path in self.free:
            return
        wait = self.rate.wait(scope["client"][0] if scope.get("client") else "")
        if wait:
            raise Refusal("too-many-requests", retry=wait)
        if not self.access.lets_in(headers.get("authorization", "")):
            raise Refusal("unauthorized")

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths() else "other"
        self.metrics.requests.labels(path, str(status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        logger.info("%s %s %d %.3f s", scope["method"], path, status, seconds)


class _Exchange:
    """A request's messages, with the headers that every answer has.

    An error that is sent before the body has arrived closes the connection, and most clients, still sending, never see
    it. So the rest is read and thrown away first, for a time.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, number: str) -> None:
        self._receive, self._send, self.number, self.status = receive, send, number, 500
        headers = Headers(scope=scope)
        body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self._more = body and "expect" not in headers

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._more = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in {**SAFE, "X-Request-Id": self.number}.items():
                headers.setdefault(name, value)
            if self.status >= 400 and self.status not in SLOW:
                await self._drain()
        await self._send(message)

    async def _drain(self) -> None:
        size = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._more and size < DRAIN_BYTES:
                    message: dict[str, Any] = dict(await self.receive())
                    size += len(message.get("body", b""))
        except TimeoutError:
            pass


def _host(word: str) -> str:
    """The name in a Host header, without port and brackets, in small letters."""
    return (urlsplit(f"//{word}").hostname or "").lower() if word.count("/") == 0 else ""
