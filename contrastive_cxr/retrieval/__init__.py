"""A trained embedding, and similar cases found with it."""

from contrastive_cxr.retrieval.embedding import embed_cached
from contrastive_cxr.retrieval.gallery import Gallery
from contrastive_cxr.retrieval.model import EmbeddingModel
from contrastive_cxr.retrieval.opened import open_gallery
from contrastive_cxr.retrieval.result import SearchResult
from contrastive_cxr.retrieval.searched import Searched
from contrastive_cxr.retrieval.stores.gallery import StoreGallery

__all__ = ["EmbeddingModel", "Gallery", "SearchResult", "Searched", "StoreGallery", "embed_cached", "open_gallery"]
