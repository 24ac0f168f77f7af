"""Devices, precision and processes, by Lightning Fabric."""

from __future__ import annotations

import os
import resource
import sys

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor

from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema


def launch(runtime: schema.Runtime) -> Fabric:
    """Take the machine: one process, or one of several that `torchrun` started (one a GPU; gloo on CPUs).

    Parameters
    ----------
    runtime : schema.Runtime
        `device` (auto: a GPU where there is one) and `precision`.

    Raises
    ------
    RequestError
        The device is not there, is too few, or lacks the precision.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if runtime.device == "auto" else runtime.device
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(processes)))
    _check(device, runtime.precision, local)
    if processes > 1 and device == "cpu" and os.environ.get("OMP_NUM_THREADS", "1") == "1":
        # torchrun sets 1 where the user set nothing
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local))
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=processes // local,
        strategy="ddp" if processes > 1 else "auto",
        precision=runtime.precision,
        plugins=[TorchElasticEnvironment() if processes > 1 else LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def _check(device: str, precision: str, local: int) -> None:
    """Refuse what this machine cannot do."""
    if device == "cuda" and not torch.cuda.is_available():
        raise RequestError("runtime.device is 'cuda' and torch finds no CUDA device here; use cpu or auto")
    if device == "cuda" and local > torch.cuda.device_count():
        raise RequestError(
            f"torchrun started {local} processes on this machine and it has {torch.cuda.device_count()} GPUs; "
            "start one a GPU (--nproc-per-node)"
        )
    if device == "cpu" and precision == "16-mixed":
        raise RequestError(
            "runtime.precision '16-mixed' needs a GPU and the device is the CPU; use 32-true or bf16-mixed"
        )


def peak_memory_mib(device: torch.device) -> float:
    """Largest memory of this process so far, MiB: on a GPU what torch allocated there, else what was resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def share(fabric: Fabric, count: int) -> slice:
    """This process's part of a global batch of `count` rows.

    Raises
    ------
    RequestError
        The processes cannot have equal parts.
    """
    each, left = divmod(count, fabric.world_size)
    if left or not each:
        raise RequestError(
            f"a batch of {count} images cannot be shared equally by {fabric.world_size} processes; "
            "make the batch a multiple of them"
        )
    return slice(fabric.global_rank * each, (fabric.global_rank + 1) * each)


def gather(fabric: Fabric, tensor: Tensor, grads: bool = True) -> Tensor:
    """Put the processes' parts of a batch together, in the order of the global batch.

    Parameters
    ----------
    tensor : tensor [B, ...]
        This process's part; of one shape on all W processes.
    grads : bool
        Let gradients flow back to the process that each part came from. They are summed over the processes: where each
        computes the same loss of the whole batch, the mean that DDP then takes is that loss's gradient.

    Returns
    -------
    tensor [W * B, ...]
    """
    if fabric.world_size == 1:
        return tensor
    gathered = fabric.all_gather(tensor, sync_grads=grads and tensor.requires_grad)
    assert isinstance(gathered, Tensor), "a tensor stays one"
    return gathered.flatten(0, 1)
