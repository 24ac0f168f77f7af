"""Lance, imported late: it is optional."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from contrastive_cxr.errors import RequestError

INSTALL = "pip install 'contrastive_cxr[lance]'"


def require() -> None:
    """Raise a `RequestError` with the install line where Lance is missing."""
    if importlib.util.find_spec("lance") is None:
        raise RequestError(f"a gallery in Lance files needs pylance, which is not installed: {INSTALL}")


def imported() -> Any:
    """The module; its own log says errors alone, and it computes on as many threads as FAISS."""
    require()
    os.environ.setdefault("LANCE_LOG", "error")
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():
        os.environ.setdefault("LANCE_CPU_THREADS", os.environ["OMP_NUM_THREADS"])
    import lance

    return lance
