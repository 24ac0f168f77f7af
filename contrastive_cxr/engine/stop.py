"""Signals as a request that the loop answers where its state is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from contrastive_cxr.errors import Signalled

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what schedulers and spot machines send before they kill; what Slurm sends ahead of time on request."""


class Stop:
    """Catches the signals inside its `with`.

    Schedulers send the same signal more than once (to a process, then to its group): only a second Ctrl-C does what it
    did before.

    Attributes
    ----------
    asked : int
        The number of the signal that came; 0: none.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._raising = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        # python gives signals to the main thread alone
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(number, self._before[signal.SIGINT])
        first, self.asked = not self.asked, self.asked or number
        if first and self._raising:
            raise Signalled(number)

    @contextmanager
    def at_once(self, fabric: Fabric) -> Iterator[None]:
        """Leave what is inside when a signal comes, with `Signalled`: for work that changes no state.

        Several processes cannot, as the others would wait for the one that left: they answer afterwards.
        """
        self._raising = fabric.world_size == 1
        try:
            yield
        finally:
            self._raising = False

    def agreed(self, fabric: Fabric) -> int:
        """The signal that any process got, 0 where none did; called by all of them at once."""
        if fabric.world_size == 1:
            return self.asked
        asked = fabric.all_reduce(torch.tensor(float(self.asked), device=fabric.device), reduce_op="max")
        assert isinstance(asked, Tensor), "a tensor stays one"
        return int(asked)
