"""A trained embedding, and similar cases found with it.

The names are imported when they are first used: a gallery in a store is built without PyTorch in memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contrastive_cxr.retrieval.embedding import embed_cached
    from contrastive_cxr.retrieval.gallery import Gallery
    from contrastive_cxr.retrieval.model import EmbeddingModel
    from contrastive_cxr.retrieval.opened import open_gallery
    from contrastive_cxr.retrieval.result import SearchResult
    from contrastive_cxr.retrieval.searched import Searched
    from contrastive_cxr.retrieval.stores.gallery import StoreGallery

__all__ = ["EmbeddingModel", "Gallery", "SearchResult", "Searched", "StoreGallery", "embed_cached", "open_gallery"]
_WHERE = {
    "EmbeddingModel": "model",
    "Gallery": "gallery",
    "SearchResult": "result",
    "Searched": "searched",
    "StoreGallery": "stores.gallery",
    "embed_cached": "embedding",
    "open_gallery": "opened",
}


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is first used."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
