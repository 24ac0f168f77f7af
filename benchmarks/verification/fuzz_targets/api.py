"""Bytes as the body of a request to `ccxr serve`: the form, its files, and what is made of them."""

from __future__ import annotations

import asyncio
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fastapi import FastAPI

from benchmarks.verification.fuzz_targets import decode
from contrastive_cxr import models
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.loaded import LoadedModels
from contrastive_cxr.inference.predict import Fitted
from contrastive_cxr.models import weights
from contrastive_cxr.recipe.schema import Model
from contrastive_cxr.retrieval import EmbeddingModel, Gallery
from contrastive_cxr.server.app import build
from contrastive_cxr.server.limits import Limits
from contrastive_cxr.server.refusals import KINDS, ErrorAnswer

ADDRESSES = {
    b"p": "/predict", b"e": "/embed",
    b"s": "/search?k=3&where=label%3Da", b"x": "/explain?k=1", b"f": "/predict?frame=0",
}  # fmt: skip
"""What the first byte asks; `q`: the first line is the address itself, `t`: the first line is the content type."""
CARD = {"classes": ["no", "yes"], "decode": {"cache_size": 32}, "channels_last": False, "phase": "embed", "task": "x"}
REFUSED = {status for status, _ in KINDS.values()} - {500, 503, 504}


def run(content: bytes) -> None:
    """Send the rest as a body with the boundary `b`; the answer has to be whole, and every error of the one shape.

    Raises
    ------
    RequestError
        The server refused.
    """
    word, rest = content[:1], content[1:]
    address, kind = ADDRESSES.get(word), b"multipart/form-data; boundary=b"
    if word in (b"q", b"t"):
        line, _, rest = rest.partition(b"\n")
        address = line.decode("latin-1") if word == b"q" else "/predict"
        kind = kind if word == b"q" else line
    if address is None:
        return
    status, body = _loop().run_until_complete(_asked(address, kind, rest))
    if status == 200:
        if b"{" in body[:1]:
            json.loads(body)
        return
    assert status in REFUSED, (status, body[:500])
    raise RequestError(*ErrorAnswer.model_validate_json(body).error.faults)


def seeds() -> dict[str, bytes]:
    """A form for each kind of picture, and forms that are none."""
    pictures = decode.seeds()
    found = {
        f"{address.partition('?')[0][1:]}-{name}": word + _form(picture)
        for (word, address), (name, picture) in zip(
            [*ADDRESSES.items()] * (len(pictures) // len(ADDRESSES) + 1), pictures.items(), strict=False
        )
    }
    some = _form(pictures["png-L"])
    found["two-files"] = b"p" + _form(pictures["png-L"], pictures["jpeg-L"])
    found["field"] = b'p--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n5\r\n--b--\r\n'
    found["cut"] = b"e" + some[:-9]
    found["query"] = b"q/search?k=2&where=label=b&patient=P1&unfamiliar=50\n" + some
    found["target"] = b"q/explain?target=yes&format=png\n" + some
    found["about"] = b"q/about\n"
    found["type"] = b"tmultipart/form-data; boundary=b; x*=utf-8''y\n" + some
    return found


def _form(*files: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x.png"\r\nContent-Type: a/b\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


async def _asked(address: str, kind: bytes, body: bytes) -> tuple[int, bytes]:
    """One request, its body in two pieces; the status and the body of the answer."""
    path, _, query = address.partition("?")
    half = len(body) // 2
    pieces = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if pieces:
            return pieces.pop(0)
        await asyncio.sleep(3600)  # the client stays
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        said.append(dict(message))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
        "method": "GET" if path in ("/about", "/health", "/metrics") else "POST", "path": path,
        "raw_path": path.encode("latin-1"), "query_string": query.encode("latin-1"), "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"host", b"127.0.0.1")],
    }  # fmt: skip
    await _app()(scope, receive, send)
    return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _app() -> FastAPI:
    """The application over an untrained network of 32 pixels and a gallery of three rows; its thread has started."""
    network = models.build(
        Model(backbone="cnn4", image_size=32), projection=(4, 2), classes=2, hidden=(3,), mean=0.5, std=0.25, seed=0
    )
    folder = Path(tempfile.mkdtemp(prefix="fuzz-api-"))
    weights.save(network, folder, CARD)
    model = EmbeddingModel.load(folder)
    rows = pd.DataFrame({"label": ["a", "b", "a"], "patient": ["P1", "P1", "P2"]})
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    loaded = LoadedModels(model, (model,), Fitted(), Gallery.build(vectors, rows, model.digest), (model.settings,))
    app = build(loaded, Limits(rate=0, batch_seconds=0, pixels=2**20))
    app.state.service.start()
    return app
