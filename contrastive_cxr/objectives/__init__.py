"""Losses and miners by checked names; the only room that knows pytorch-metric-learning."""

from contrastive_cxr.objectives import health
from contrastive_cxr.objectives.objective import Objective, build

__all__ = ["Objective", "build", "health"]
