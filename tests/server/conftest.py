from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pandas as pd
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from contrastive_cxr.inference.loaded import LoadedModels, load
from contrastive_cxr.server import access
from contrastive_cxr.server.app import build
from contrastive_cxr.server.limits import Limits


@dataclass(frozen=True)
class Running:
    """An application at a real port."""

    app: FastAPI
    port: int
    client: httpx.Client

    def metric(self, name: str) -> float:
        """A number of `/metrics`, by its name with labels; 0 where it was not counted yet."""
        lines = self.client.get("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


Serve = Callable[..., Running]


@contextmanager
def running(app: FastAPI, token: str = "") -> Iterator[Running]:
    """Serve an application by uvicorn in a thread of this process."""
    listening = access.bound("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server has ended"
        time.sleep(0.01)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120, trust_env=False) as client:
        yield Running(app, port, client)
    server.should_exit = True
    thread.join(60)
    listening.close()
    assert not thread.is_alive(), "the server does not end"


@pytest.fixture(scope="session")
def loaded(finished: Path) -> LoadedModels:
    """The models of the small run; the gallery is of its training images."""
    return load(finished)


@pytest.fixture(scope="session")
def shared(loaded: LoadedModels) -> Iterator[Running]:
    """A server with the limits that everyone has, but for the rate."""
    with running(build(loaded, Limits(rate=0))) as found:
        yield found


@pytest.fixture
def serve(loaded: LoadedModels) -> Iterator[Serve]:
    """`serve(limits, ...)` starts a server of its own."""
    opened: list[Iterator[None]] = []

    def start(limits: Limits, token: str = "", guarded: access.Access | None = None) -> Running:
        made = running(build(loaded, limits, guarded), token)
        opened.append(made)  # type: ignore[arg-type]
        return made.__enter__()

    yield start
    for made in opened:
        made.__exit__(None, None, None)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def phantoms(finished: Path) -> pd.DataFrame:
    """The rows of the run's images, `file` the path of each."""
    rows = pd.read_csv(finished / "manifest.csv", dtype=str).fillna("")
    return rows.assign(file=[str(Path(root) / path) for root, path in zip(rows["root"], rows["path"], strict=True)])


@pytest.fixture(scope="session")
def one(phantoms: pd.DataFrame) -> bytes:
    """The content of an image that the run was not trained on."""
    return Path(phantoms[phantoms["split"] == "test"]["file"].iloc[0]).read_bytes()


def form(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    """Files of a form, as httpx takes them."""
    return [("images", (f"{number}.png", content)) for number, content in enumerate(contents)]


def noise(side: int) -> bytes:
    """A PNG of noise that does not get smaller: about side * side bytes."""
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 80).save(buffer, "PNG")
    return buffer.getvalue()
