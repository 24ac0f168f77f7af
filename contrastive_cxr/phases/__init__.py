"""The three phases, each one page told from top to bottom."""

from collections.abc import Callable
from pathlib import Path

from contrastive_cxr.phases.context import PhaseContext
from contrastive_cxr.phases.embed import embed
from contrastive_cxr.phases.finetune import finetune
from contrastive_cxr.phases.pretrain import pretrain
from contrastive_cxr.run_layout import PhaseName

TRAIN: dict[PhaseName, Callable[[PhaseContext], Path]] = {"pretrain": pretrain, "embed": embed, "finetune": finetune}
"""The function of each phase: trains it and returns its folder."""

__all__ = ["TRAIN", "PhaseContext", "embed", "finetune", "pretrain"]
