"""Which stage of long work had been named when a function was called."""

from __future__ import annotations

from typing import Any

import pytest

from contrastive_cxr import terminal


class Announced(dict[str, str]):
    """{function: stage that was named when it was called first}, of functions that are watched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._monkeypatch = monkeypatch

    def watch(self, module: Any, *names: str) -> None:
        """Note the stage when one of these functions of a module is called; the function itself stays."""
        for name in names:
            self._monkeypatch.setattr(module, name, self._noting(name, getattr(module, name)))

    def _noting(self, name: str, function: Any) -> Any:
        def called(*given: Any, **options: Any) -> Any:
            self.setdefault(name, terminal._open[0].name if terminal._open else "")
            return function(*given, **options)

        return called
