"""What an audit's findings are called where they must not be overlooked: on the terminal and on a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contrastive_cxr.alerts import Alert
from contrastive_cxr.errors import visible

ADVICE = "Write a table in which copies count as one patient, and train from it:"
_DIVIDED = {"copies_across_splits": "picture", "patients_across_splits": "patient", "other": "picture or patient"}


def alert_of(verdict: Mapping[str, Any], command: str = "") -> Alert | None:
    """The alert about leaks and warnings among the findings of a verdict; None where there are none of both.

    Parameters
    ----------
    verdict : mapping
        `verdict` of audit.json, or `audit` of report.json: its `findings` are read.
    command : str
        The command that writes the mended table; shown where it mends something.
    """
    found = of_level(verdict, "leak"), of_level(verdict, "warning")
    sentences = [visible(each["sentence"]) for level in found for each in level]
    if not sentences:
        return None
    level = "leak" if found[0] else "warning"
    mended = command and any(each["kind"] in _DIVIDED for each in found[0])
    return Alert(level, title(verdict), sentences, *((ADVICE, visible(command)) if mended else ()))


def title(verdict: Mapping[str, Any]) -> str:
    """The line above the findings; '' where nothing must be warned of."""
    leaks, warnings = of_level(verdict, "leak"), of_level(verdict, "warning")
    if leaks:
        what = " and the same ".join(_DIVIDED[each["kind"]] for each in leaks)
        return f"LEAK: the same {what} on both sides of the split"
    if warnings and all(each["kind"] == "unknown_patients" for each in warnings):
        return "WARNING: the patients are not known"
    return "WARNING: something other than the finding gives the label away" if warnings else ""


def of_level(verdict: Mapping[str, Any], level: str) -> Sequence[Mapping[str, Any]]:
    """The findings of a level: `leak`, `warning` or `note`."""
    return [each for each in verdict.get("findings") or () if each["level"] == level]
