"""Backbones, the network around them, and weights on disk."""

from contrastive_cxr.models import backbones, weights
from contrastive_cxr.models.network import Network, Spec, block_faults, build

__all__ = ["Network", "Spec", "backbones", "block_faults", "build", "weights"]
