"""Ctrl-C as a request that the loop answers where its state is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Catches the first SIGINT or SIGTERM inside its `with`; the second does what it always does."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        # python gives signals to the main thread alone
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def agreed(self, fabric: Fabric) -> bool:
        """Whether any process was asked to stop; called by all of them at once."""
        if fabric.world_size == 1:
            return self.asked
        asked = fabric.all_reduce(torch.tensor(float(self.asked), device=fabric.device), reduce_op="sum")
        assert isinstance(asked, Tensor), "a tensor stays one"
        return bool(asked > 0)
