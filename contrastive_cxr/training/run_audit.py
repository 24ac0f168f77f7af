"""The audit of the images that a run trains on, before it trains, and for its dry run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from contrastive_cxr import alerts, terminal
from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.decoding import grey_levels
from contrastive_cxr.datasets.audit import of_dataset
from contrastive_cxr.datasets.audit_words import alert_of
from contrastive_cxr.engine import Fabric
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.recipe.text.audit_command import audit_command

logger = logging.getLogger(__name__)
AUDITED = 50_000
"""Images up to which a run is audited by itself; `ccxr audit` does it for more."""


def audit_images(recipe: Recipe, data: Dataset, fabric: Fabric, out: Path) -> None:
    """Write `audit.json` where the recipe asks for it, once; the first process does.

    It warns of leaks, of shortcuts and of unknown patients, and of images whose grey levels the decoding has lost.
    """
    path = out / "audit.json"
    squeezed = grey_levels.warning(grey_levels.of_dataset(data), data.intensity.kind) if fabric.is_global_zero else ""
    if squeezed:
        logger.warning("%s", squeezed)
    if fabric.is_global_zero and not path.is_file():
        facts = audit_facts(recipe, data, out)
        found = alert_of(facts["verdict"], facts["command"]) if facts else None
        if found is not None:
            alerts.alert(logger, found)
    fabric.barrier()


def audit_facts(recipe: Recipe, data: Dataset, out: Path | None = None) -> dict[str, Any] | None:
    """The contents of `audit.json`, written into `out` where it is given; None where the recipe wants no audit, or the
    images are more than `AUDITED`."""
    if not recipe.evaluation.audit or len(data.labels) > AUDITED:
        return None
    with terminal.Stages("audit", 3):
        return of_dataset(data, out, fix_command(recipe, data))


def fix_command(recipe: Recipe, data: Dataset) -> str:
    """The command that audits these images and writes a table in which copies count as one patient."""
    return audit_command(recipe.data, sorted(set(data.manifest.rows["root"])), recipe.task)
