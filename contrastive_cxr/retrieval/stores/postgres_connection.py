"""A connection to PostgreSQL with pgvector, and what goes wrong with one, in words without a password."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contrastive_cxr.data.files.store_urls import StoreUrl
from contrastive_cxr.errors import CcxrError, RequestError

INSTALL = "pip install 'contrastive_cxr[postgres]'"
OLDEST = (0, 8)
"""Of pgvector: from it on a filtered search goes on until it has enough rows (`hnsw.iterative_scan`)."""
SECONDS = 10
"""Until a server that does not answer is given up, where the URL has no connect_timeout."""


def require() -> None:
    """Raise a `RequestError` with the install line where psycopg or pgvector is missing."""
    missing = [name for name in ("psycopg", "pgvector") if importlib.util.find_spec(name) is None]
    if missing:
        raise RequestError(
            f"a gallery in PostgreSQL needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed: {INSTALL}"
        )


def connect(url: StoreUrl, *, create: bool = False) -> Any:
    """Connect, and look whether the server has pgvector.

    Parameters
    ----------
    create : bool
        Add the extension to the database where the server has it.

    Raises
    ------
    RequestError
        The server does not answer, refuses the user, or has no pgvector.
    """
    require()
    import psycopg
    from pgvector.psycopg import register_vector

    with said(url):
        chosen: dict[str, Any] = {"connect_timeout": SECONDS, **psycopg.conninfo.conninfo_to_dict(url.conninfo)}
        made = psycopg.connect(**chosen | {"application_name": "ccxr", "autocommit": True})
        try:
            _extension(url, made, create)
            register_vector(made)
        except BaseException:
            made.close()
            raise
        return made


def _extension(url: StoreUrl, made: Any, create: bool) -> None:
    """Refuse a database without pgvector, or with one that is too old."""
    import psycopg

    cure = "an administrator installs pgvector on the server and runs CREATE EXTENSION vector in this database"
    if create:
        try:
            made.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            raise RequestError(
                f"{url}: PostgreSQL has no extension vector there ({_first(url, error)}); {cure}"
            ) from None
    found = made.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    if found is None:
        raise RequestError(f"{url}: PostgreSQL has no extension vector there; {cure}")
    if tuple(int(part) for part in found[0].split(".")[:2]) < OLDEST:
        raise RequestError(
            f"{url}: its pgvector is {found[0]}, and filtered searches need {'.'.join(map(str, OLDEST))}; an "
            "administrator installs a newer one and runs ALTER EXTENSION vector UPDATE"
        )


@contextmanager
def said(url: StoreUrl) -> Iterator[None]:
    """Say what psycopg raises in our words; the password is in none of them, nor in an error that they come from."""
    import psycopg

    try:
        yield
    except CcxrError:
        raise
    except psycopg.Error as error:
        raise _worded(url, error) from None


def _worded(url: StoreUrl, error: Any) -> CcxrError:
    first, code = _first(url, error), error.sqlstate or ""
    lower = first.lower()
    if "no password supplied" in lower:
        return RequestError(
            f"{url}: the server wants a password and none is given; set PGPASSWORD, or write it into ~/.pgpass"
        )
    if code.startswith("28") or "authentication failed" in lower:
        return RequestError(f"{url}: the server refuses this user ({first}); check user and password")
    if code == "3D000" or ("database" in lower and "does not exist" in lower):
        return RequestError(f"{url}: has no such database ({first}); create it, or name another")
    if code == "42501":
        return RequestError(f"{url}: the user may not do that ({first}); ask an administrator for the right")
    if code == "25006":
        return RequestError(f"{url}: the server is read-only ({first}); name the server that takes writes")
    if code.startswith("53") or code == "58030":
        return CcxrError(f"{url}: the server has no room ({first}); nothing was changed there; make room and try again")
    if code in ("42P01", "42703", "42804") or code.startswith("22"):
        return RequestError(f"{url}: its tables are not those that the gallery names ({first}); make the gallery again")
    if not code:
        return RequestError(f"{url}: the server does not answer ({first}); check host and port, and that it runs")
    return CcxrError(f"{url}: PostgreSQL says: {first}")


def _first(url: StoreUrl, error: Any) -> str:
    """The words of an error in one line, without the password."""
    words = " ".join(str(error).split("\nLINE ")[0].split())
    return url.without_secrets(words)[:300]
