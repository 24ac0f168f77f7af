"""What a user calls: runs, cascades, folds and seeds, evaluation, prediction.

The names are imported when they are asked for, so that a wrong recipe is refused before torch is loaded.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "first_door": "door",
    "is_finished": "finished",
    "run": "run",
    "run_folds": "pool",
    "run_seeds": "pool",
    "evaluate": "external",
    "write_card": "card",
    "predict": "predict",
    "encode": "encode",
    "index": "gallery",
    "index_encoder": "encoder",
    "search": "search",
    "explain": "explain",
    "overfit": "overfit",
    "plan": "plan",
    "find_batch": "find_batch",
    "quickstart": "quickstart",
    "compare": "compare",
    "tables": "compare",
    "read_words": "points",
    "points_of": "points",
    "sweep_door": "sweep_folder",
    "plan_points": "sweep",
    "run_points": "sweep",
    "write_definition": "sweep_wandb",
    "audit": "audit",
    "audit_tables": "audit",
    "look": "look",
    "look_tables": "look",
}


def call(name: str) -> Any:
    """The experiment named `name`, its module imported now."""
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
