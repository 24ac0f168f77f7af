"""Numbers for many rows, without gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from contrastive_cxr import terminal
from contrastive_cxr.engine.fabric import gather


def encode(
    fabric: Fabric,
    function: Callable[[Tensor], Tensor],
    rows: NDArray[np.int64],
    batch_size: int,
    load: Callable[[NDArray[np.int64]], Tensor],
    *,
    network: nn.Module,
) -> NDArray[np.float32]:
    """Apply a function to rows in batches, in eval mode, shared between the processes.

    Parameters
    ----------
    function : callable
        `function(inputs [B, ...]) -> tensor [B, D...]`, such as `network.embed`.
    rows : int64 ndarray [N]
        In any order; a row may come twice.
    batch_size : int
        Rows a call, in each process.
    load : callable
        `load(rows int64 [B]) -> inputs` on the device.
    network : nn.Module
        What `function` uses: put into eval mode, and back.

    Returns
    -------
    float32 ndarray [N, D...]
        In the order of `rows`, the same on every process.
    """
    rows = np.asarray(rows, dtype=np.int64)
    share = -(-len(rows) // fabric.world_size)
    # all processes need the same number of rows: the last ones repeat the last row, cut off again below
    padded = np.concatenate([rows, np.repeat(rows[-1:], share * fabric.world_size - len(rows))])
    mine = padded[fabric.global_rank * share : (fabric.global_rank + 1) * share]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), fabric.autocast():
            # no row at all is one empty batch, which tells the shape
            starts = range(0, max(len(mine), 1), batch_size)
            parts = []
            for start in starts:
                parts.append(function(load(mine[start : start + batch_size])).float().cpu())
                terminal.share(start + batch_size, len(mine))
    finally:
        for module, training in modes:
            module.training = training
    whole = gather(fabric, fabric.to_device(torch.cat(parts)), grads=False).cpu().numpy()
    result: NDArray[np.float32] = whole[: len(rows)]
    return result
