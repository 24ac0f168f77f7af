"""The words of `--store`: which store a new gallery is put into."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr.data.files.addresses import is_url
from contrastive_cxr.data.files.store_urls import Place, StoreUrl, is_store_url
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.retrieval.stores import lance_library, postgres_connection
from contrastive_cxr.retrieval.stores.lance_store import LanceStore
from contrastive_cxr.retrieval.stores.postgres_store import PostgresStore
from contrastive_cxr.retrieval.stores.store import Store

WORDS = ("folder", "lance")


def target(word: str | StoreUrl, out: Path | None) -> tuple[Place, Store | None]:
    """Where a new gallery goes, and its store; None for a folder of its own files.

    Parameters
    ----------
    word : `folder`, `lance`, `lance:ADDRESS` or `postgresql://...`
    out : Path, optional
        The folder; PostgreSQL has none.

    Raises
    ------
    RequestError
        No such store, its package is missing, or a folder is missing or too many.
    """
    if isinstance(word, str) and is_store_url(word):
        word = StoreUrl(word)
    if isinstance(word, StoreUrl):
        postgres_connection.require()
        if out is not None:
            raise RequestError(f"--out {out}: a gallery in PostgreSQL has no folder; leave --out away")
        return word, PostgresStore(word)
    name, _, address = word.partition(":")
    if name not in WORDS or (address and not (name == "lance" and is_url(address))):
        raise RequestError(
            f"--store {word}: is not folder, lance, lance:URL or postgresql://USER@HOST/DATABASE{nearest(name, WORDS)}"
        )
    if out is None:
        raise RequestError("--out: name a new folder for the gallery")
    if name == "folder":
        return out, None
    lance_library.require()
    return out, LanceStore(out, address)
