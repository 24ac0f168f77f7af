from contrastive_cxr.experiment.run import run as run_recipe
from contrastive_cxr.retrieval import EmbeddingModel as EmbeddingModel
from contrastive_cxr.retrieval import Gallery as Gallery

__all__ = ["EmbeddingModel", "Gallery", "__version__", "run_recipe"]
__version__: str
