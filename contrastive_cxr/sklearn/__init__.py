"""Estimators for scikit-learn: `ImageEmbedder`, `GalleryClassifier` and `ContrastiveClassifier`.

Torch is imported when one of them is first fitted, not with this module.
"""

from contrastive_cxr.sklearn.contrastive import ContrastiveClassifier
from contrastive_cxr.sklearn.embedder import ImageEmbedder
from contrastive_cxr.sklearn.gallery import GalleryClassifier
from contrastive_cxr.sklearn.samples import InputError

__all__ = ["ContrastiveClassifier", "GalleryClassifier", "ImageEmbedder", "InputError"]
