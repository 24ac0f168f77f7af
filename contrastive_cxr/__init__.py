"""Contrastive learning for chest imaging: pretrain, embed, finetune, and nearest neighbours to look at.

The names below are imported when they are first asked for, so that `import contrastive_cxr` costs nothing; their
types are in `__init__.pyi`.
"""

from __future__ import annotations

import warnings
from importlib import import_module

__version__ = "0.1.0"
__all__ = ["EmbeddingModel", "Gallery", "__version__", "run_recipe"]

# In a notebook, libraries that are imported import tqdm, which asks for widgets (ipywidgets); nothing here needs them.
warnings.filterwarnings("ignore", message="IProgress not found")

# The function is `run_recipe` here, because `contrastive_cxr.run` is the room of run folders.
_LAZY = {
    "EmbeddingModel": ("contrastive_cxr.retrieval", "EmbeddingModel"),
    "Gallery": ("contrastive_cxr.retrieval", "Gallery"),
    "run_recipe": ("contrastive_cxr.training.run", "run"),
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(__all__)}")
    module, attribute = _LAZY[name]
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
