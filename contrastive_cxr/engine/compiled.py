"""torch.compile that is given up where it fails: the network then runs as it is."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)


class Compiled(nn.Module):
    """A network compiled at its first call, and for each new shape of input; or as it is, from the first failure on.

    Parameters
    ----------
    network : nn.Module
        Keeps its parameters and modes; this module adds none.
    name : str
        Of the phase, for the warning.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self._name = network, name
        # in a list: no child of this module, whose parameters would otherwise be named twice
        self._compiled = [torch.compile(network)]

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """What the network says."""
        if self._compiled:
            # late: the compiler is large, and imported only where it is asked for
            from torch._dynamo.exc import TorchDynamoException
            from torch._inductor.exc import InductorError

            try:
                return self._compiled[0](*inputs, **settings)
            except (TorchDynamoException, InductorError) as error:
                self._compiled.clear()
                log.warning(
                    "%s: runtime.compile=true failed (%s); the phase goes on without it, as with runtime.compile=false",
                    self._name,
                    reason(error),
                )
        return self.network(*inputs, **settings)


def reason(error: BaseException) -> str:
    """The compiler's own words, their first line."""
    inner = getattr(error, "inner_exception", None) or error
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    return f"{type(inner).__name__}: {lines[0]}" if lines else type(inner).__name__
