"""What the head of a report says of its origin: when the images were scored, by which version, and which images."""

from __future__ import annotations

from datetime import UTC, datetime

from contrastive_cxr import __version__
from contrastive_cxr.recipe.schema import Recipe


def of(recipe: Recipe) -> dict[str, str]:
    """`made` of report.json: {date (UTC, to the minute), version, data}."""
    sources = recipe.data.join or (recipe.data,)
    named = (" in ".join(str(part) for part in (each.source, each.root) if part) for each in sources)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "data": "; ".join(dict.fromkeys(named)),
    }
