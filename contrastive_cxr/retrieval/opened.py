"""Open a gallery wherever it lies: in a folder of its own files, in Lance files, in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr.data.files.store_urls import Place, StoreUrl, place_of
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import read_json
from contrastive_cxr.retrieval.gallery import Gallery
from contrastive_cxr.retrieval.searched import Searched
from contrastive_cxr.retrieval.stores.gallery import StoreGallery
from contrastive_cxr.retrieval.stores.lance_store import FILLING, RECORD, LanceStore
from contrastive_cxr.retrieval.stores.postgres_store import PostgresStore
from contrastive_cxr.retrieval.stores.store import Store


def open_gallery(place: str | Place, *, verify: bool = False, trust_index: bool = False) -> Searched:
    """The gallery at a place.

    Parameters
    ----------
    place : str, Path or StoreUrl
        A folder that `ccxr index` wrote, or `postgresql://USER@HOST/DATABASE?gallery=NAME`.
    verify, trust_index : as of `Gallery.load`; a store checks its own files.

    Raises
    ------
    RequestError
        There is no gallery, it is unfinished or damaged, a package is missing, or a server does not answer.
    """
    place = place_of(place)
    store = store_at(place)
    if store is not None:
        return StoreGallery(store, store.record())
    assert isinstance(place, Path), "a URL is a store"
    return Gallery.load(place, verify=verify, trust_index=trust_index)


def store_at(place: Place) -> Store | None:
    """The store at a place; None where a gallery in a folder of its own files would be.

    Raises
    ------
    RequestError
        It is unfinished.
    """
    if isinstance(place, StoreUrl):
        return PostgresStore(place)
    if not (place / RECORD).is_file():
        if (place / FILLING).is_file():
            raise RequestError(f"{place}: its gallery is unfinished; run the same ccxr index again, it goes on")
        return None
    try:
        found = read_json(place / RECORD)
    except ValueError:
        return None  # `Gallery.load` says what is wrong
    return LanceStore(place) if isinstance(found, dict) and "store" in found else None


def is_gallery(place: Place) -> bool:
    """Whether a gallery may lie there, finished or not."""
    return isinstance(place, StoreUrl) or (place / RECORD).is_file() or (place / FILLING).is_file()
