"""Backbones, the network around them, and weights on disk."""

from contrastive_cxr.models import weights
from contrastive_cxr.models.backbones.timm_nets import synchronised
from contrastive_cxr.models.faults import block_faults, growth_faults, norm_blocks
from contrastive_cxr.models.head import head_statistics
from contrastive_cxr.models.network import Network, build
from contrastive_cxr.models.spec import Spec

__all__ = [
    "Network",
    "Spec",
    "block_faults",
    "build",
    "growth_faults",
    "head_statistics",
    "norm_blocks",
    "synchronised",
    "weights",
]
