"""Too little memory on the device: what was asked of it, and what to set instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from contrastive_cxr.errors import CcxrError


@contextmanager
def enough_memory(device: torch.device, what: str, instead: str) -> Iterator[None]:
    """Say in words that the device has too little memory; other errors pass.

    Parameters
    ----------
    device : torch.device
        Where the work is done.
    what : str
        What was asked for, with its size: "32 images a step".
    instead : str
        What to set.

    Raises
    ------
    CcxrError
        The device's memory was too small.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise CcxrError(f"{device}{_state(device)} has too little memory for {what}; {instead}") from error


def lacks_memory(error: BaseException) -> bool:
    """Whether an error means that the device's memory is too small."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _state(device: torch.device) -> str:
    """` (1.2 of 80.0 GiB free)` of a GPU; a CPU's free memory says little, as its system lends more than there is."""
    if device.type != "cuda":
        return ""
    free, total = torch.cuda.mem_get_info(device)
    return f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"
