"""A notebook that is run by a real kernel, with this checkout's package."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def execute(book: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the cells of `book` in `folder`, with a cache of its own; skipped, by name, without nbclient and a kernel.

    Returns
    -------
    nbformat.NotebookNode
        The notebook with the outputs of its cells.
    """
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed; it is in the extra docs")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed; it is in the extra docs")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return nbclient.NotebookClient(book, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
