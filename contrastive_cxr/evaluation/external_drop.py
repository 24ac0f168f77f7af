"""By how much an external test scores lower than the run's own report, and for which classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contrastive_cxr import report
from contrastive_cxr.errors import RequestError
from contrastive_cxr.metrics.statistics import intervals
from contrastive_cxr.report.facts import robust_words
from contrastive_cxr.run import folder as folders

COMPARED = ("accuracy", "balanced_accuracy", "auc")


def drop(run: Path, facts: dict[str, Any]) -> dict[str, Any] | None:
    """The report's field `external_drop`: the scores of `facts` minus those of the run's own report.

    The two sets of images do not overlap, so the samples are independent (`intervals.independent`).

    Parameters
    ----------
    run : Path
        The run whose model was scored.
    facts : dict
        The report of the external test.

    Returns
    -------
    {recorded: {split, n}, scores: {name: difference}, recall: {class: difference}, sentences}, or None if the run
    has no report with the same phase, classes and test-time augmentation on its validation or test part.
    """
    own = recorded(run)
    if own is None or own.get("split") not in ("val", "test"):
        return None
    if any(own.get(name) != facts.get(name) for name in ("phase", "task")) or tta_of(own) != tta_of(facts):
        return None
    found: dict[str, Any] = {
        "recorded": {"split": own["split"], "n": own["n"]},
        "scores": {name: intervals.independent(facts["scores"][name], own["scores"][name]) for name in COMPARED},
        "recall": {
            name: intervals.independent(row["recall"], own["per_class"][name]["recall"])
            for name, row in facts["per_class"].items()
        },
    }
    return {**found, "sentences": robust_words.external_sentences(found)}


def recorded(run: Path) -> dict[str, Any] | None:
    """The run's own report; None if it has none of this version."""
    try:
        facts: dict[str, Any] = folders.read_json(run / "report.json")
    except (OSError, ValueError, RequestError):
        return None
    return facts if isinstance(facts, dict) and facts.get("version") == report.VERSION else None


def tta_of(facts: dict[str, Any]) -> str | None:
    """The name of a report's test-time augmentation; None without one."""
    found = facts.get("tta")
    return found["name"] if found else None
