"""Devices, precision and processes, by Lightning Fabric."""

from __future__ import annotations

import inspect
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from contrastive_cxr import cores
from contrastive_cxr.engine.allocator import keep_freed_memory
from contrastive_cxr.errors import CcxrError, RequestError, raise_faults
from contrastive_cxr.recipe import schema
from contrastive_cxr.run import processes


def launch(runtime: schema.Runtime) -> Fabric:
    """Take the machine: one process, or one of several that `torchrun` started (one a GPU; gloo on CPUs).

    With `runtime.keep_freed_memory` a process on a CPU keeps what it frees (`allocator.keep_freed_memory`).

    Parameters
    ----------
    runtime : schema.Runtime
        `device` (auto: a GPU where there is one), `precision` (auto: float32; a run has replaced it by then),
        `sync_batchnorm`, and `timeout_minutes`, after which a process that waits for another gives up. One that dies is
        noticed at once: its connections close.

    Raises
    ------
    RequestError
        The device is not there, is too few, or lacks the precision or synchronised batch norm.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if runtime.device == "auto" else runtime.device
    count, local = processes.count(), processes.count_here()
    _check(device, runtime, local)
    if device == "cpu":
        _limit_threads(count, local)
    if device == "cpu" and runtime.keep_freed_memory:
        keep_freed_memory()
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=count // local,
        strategy=_strategy(runtime) if count > 1 else "auto",
        precision="32-true" if runtime.precision == "auto" else runtime.precision,
        plugins=[TorchElasticEnvironment() if count > 1 else LightningEnvironment()],
    )
    fabric.launch()
    return fabric


def _strategy(runtime: schema.Runtime) -> DDPStrategy:
    """Gradients are averaged where they lie; the running statistics of batch norms are shared once an epoch.

    In training each process normalises by its own batch, so nobody uses the statistics that DDP would send before every
    forward pass before the epoch ends (`TrainState.share_buffers`).
    """
    wait = timedelta(minutes=runtime.timeout_minutes)
    known = inspect.signature(DistributedDataParallel).parameters
    word = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before torch 2.15
    unsent: dict[str, Any] = {word: False}
    return DDPStrategy(timeout=wait, gradient_as_bucket_view=True, **unsent)


def _limit_threads(count: int, local: int) -> None:
    """No more threads than the quota allows; of several processes each its share, as torchrun sets 1 for all of them.

    What the user set in `OMP_NUM_THREADS` stays, and a smaller number that torch has already.
    """
    word = os.environ.get("OMP_NUM_THREADS", "")
    if count > 1 and word in ("", "1"):
        torch.set_num_threads(max(1, cores.available() // local))
    elif count == 1 and not word and torch.get_num_threads() > cores.available():
        torch.set_num_threads(cores.available())


def _check(device: str, runtime: schema.Runtime, local: int) -> None:
    """Refuse what this machine cannot do, all of it at once."""
    faults = []
    if device == "cuda" and not torch.cuda.is_available():
        faults.append("runtime.device is 'cuda' and torch finds no CUDA device here; use cpu or auto")
    elif device == "cuda" and local > torch.cuda.device_count():
        faults.append(
            f"torchrun started {local} processes on this machine and it has {torch.cuda.device_count()} GPUs; "
            "start one a GPU (--nproc-per-node)"
        )
    if device == "cpu" and runtime.precision == "16-mixed":
        faults.append("runtime.precision '16-mixed' needs a GPU and the device is the CPU; use 32-true or bf16-mixed")
    if device == "cpu" and runtime.sync_batchnorm:
        faults.append(
            "runtime.sync_batchnorm needs GPUs, torch has none for the CPU, which is the device; set it to false: each "
            "process then takes the statistics of its own share of a batch"
        )
    raise_faults(faults)


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


# what gloo says of a process that is gone or does not answer; NCCL has an exception of its own
_LOST = ("gloo", "closed by peer", "reset by peer", "Broken pipe", "Timed out waiting")


@contextmanager
def report_lost_process(fabric: Fabric, what: str) -> Iterator[None]:
    """Say in words that another process is gone or hangs, where torch says it of a socket.

    Parameters
    ----------
    what : str
        What was being done, and how to go on with it.

    Raises
    ------
    CcxrError
        Another process died, or did not answer within `runtime.timeout_minutes`.
    """
    try:
        yield
    except RuntimeError as error:
        gone = isinstance(error, torch.distributed.DistError) or any(word in str(error) for word in _LOST)
        if fabric.world_size == 1 or not gone:
            raise
        raise CcxrError(
            f"process {fabric.global_rank} of {fabric.world_size} lost another process, or waited for it longer than "
            f"runtime.timeout_minutes ({str(error).splitlines()[0]}); look for that one's own words. {what}"
        ) from error
