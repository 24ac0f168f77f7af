from contrastive_cxr.retrieval import EmbeddingModel as EmbeddingModel
from contrastive_cxr.retrieval import Gallery as Gallery
from contrastive_cxr.training.run import run as run_recipe

__all__ = ["EmbeddingModel", "Gallery", "__version__", "run_recipe"]
__version__: str
