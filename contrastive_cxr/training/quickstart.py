"""The first five minutes: the three phases on painted phantoms."""

from __future__ import annotations

from pathlib import Path

from contrastive_cxr import recipe as recipes
from contrastive_cxr.training.run import run


def quickstart(out: Path, *, overwrite: bool = False) -> Path:
    """Run the shipped recipe `phantom` into `out`: paint, pretrain, embed, finetune, report.

    Returns
    -------
    Path
        `out/report.html`.
    """
    return run(recipes.load("phantom"), out, overwrite=overwrite) / "report.html"
