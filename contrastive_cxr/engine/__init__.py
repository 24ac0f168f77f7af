"""The loop, without any science: devices, precision, schedule, checkpoints, resume; and encoding."""

from lightning_fabric import Fabric

from contrastive_cxr.engine.encode import encode
from contrastive_cxr.engine.fabric import gather, launch
from contrastive_cxr.engine.layer_rates import decay_factors, network_groups, waiting
from contrastive_cxr.engine.loop import fit
from contrastive_cxr.engine.optim import make_optimiser, parameter_groups
from contrastive_cxr.engine.progress import Place
from contrastive_cxr.engine.spec import Batch, FitResult, FitSpec, StepOutput
from contrastive_cxr.engine.store import drop_checkpoints, is_done, mark_done
from contrastive_cxr.errors import Interrupted

__all__ = [
    "Batch",
    "Fabric",
    "FitResult",
    "FitSpec",
    "Interrupted",
    "Place",
    "StepOutput",
    "decay_factors",
    "drop_checkpoints",
    "encode",
    "fit",
    "gather",
    "is_done",
    "launch",
    "make_optimiser",
    "mark_done",
    "network_groups",
    "parameter_groups",
    "waiting",
]
