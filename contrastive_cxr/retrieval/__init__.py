"""A trained embedding, and similar cases found with it."""

from contrastive_cxr.retrieval.embedding import embed_cached
from contrastive_cxr.retrieval.gallery import Gallery
from contrastive_cxr.retrieval.model import EmbeddingModel
from contrastive_cxr.retrieval.result import SearchResult

__all__ = ["EmbeddingModel", "Gallery", "SearchResult", "embed_cached"]
