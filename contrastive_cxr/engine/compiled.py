"""torch.compile that is given up where it fails: the network then runs as it is.

`reduce-overhead` also records the step's kernels as CUDA graphs on a GPU, so that small networks and small images do
not wait for Python. A graph writes into the same memory each time it is run. Therefore each call marks the beginning of
a step, and the outputs are copied.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

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
    mode : str
        Of `torch.compile`: `default` or `reduce-overhead`.
    """

    def __init__(self, network: nn.Module, name: str, mode: Literal["default", "reduce-overhead"] = "default") -> None:
        super().__init__()
        self.network, self._name, self._mode = network, name, mode
        # in a list: no child of this module, whose parameters would otherwise be named twice
        self._compiled = [torch.compile(network, mode=mode)]

    def forward(self, *inputs: Any, **settings: Any) -> Any:
        """What the network says."""
        if self._compiled:
            # late: the compiler is large, and imported only where it is asked for
            from torch._dynamo.exc import TorchDynamoException
            from torch._inductor.exc import InductorError

            if self._mode == "reduce-overhead":
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            try:
                found = self._compiled[0](*inputs, **settings)
                return copied(found) if self._mode == "reduce-overhead" else found
            except (TorchDynamoException, InductorError) as error:
                self._compiled.clear()
                log.warning(
                    "%s: runtime.compile=%s failed (%s); the phase goes on without it, as with runtime.compile=false",
                    self._name,
                    "true" if self._mode == "default" else self._mode,
                    reason(error),
                )
        return self.network(*inputs, **settings)


def copied(outputs: Any) -> Any:
    """The outputs of a network, a tensor or several, in memory of their own; gradients flow through the copy."""
    return tuple(output.clone() for output in outputs) if isinstance(outputs, tuple) else outputs.clone()


def reason(error: BaseException) -> str:
    """The compiler's own words, their first line."""
    inner = getattr(error, "inner_exception", None) or error
    lines = [line.strip() for line in str(inner).splitlines() if line.strip()]
    return f"{type(inner).__name__}: {lines[0]}" if lines else type(inner).__name__
