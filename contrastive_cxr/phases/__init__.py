"""The three phases, each one page told from top to bottom."""

from contrastive_cxr.phases.embed import embed
from contrastive_cxr.phases.finetune import finetune
from contrastive_cxr.phases.pretrain import pretrain
from contrastive_cxr.phases.setting import PhaseName, Setting

__all__ = ["PhaseName", "Setting", "embed", "finetune", "pretrain"]
