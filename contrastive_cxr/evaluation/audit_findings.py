"""What a report says of the audit of its images: findings, counts, and the first groups of copies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contrastive_cxr.audit.verdict import SHORTCUT, Finding, patients_unknown
from contrastive_cxr.datasets.audit_words import ADVICE, of_level, title
from contrastive_cxr.metrics import baselines
from contrastive_cxr.run import folder as folders

GROUPS = 6  # groups of copies that a report shows
SEEN = (baselines.METADATA, baselines.BORDER)
"""Blind baselines that see no lung at all; a thumbnail shows some."""
_WORDS = {
    baselines.METADATA: "The file metadata alone",
    baselines.BORDER: "The border of the images alone",
}
_ELSEWHERE = (
    "These findings are of the images that the model was trained and scored on before. The images that are scored here "
    "were not audited."
)


def findings_of(run: Path, facts: Mapping[str, Any], without_patient: int, *, external: bool = False) -> dict[str, Any]:
    """`audit` of report.json (docs/reference/report.md).

    Parameters
    ----------
    run : Path
        Whose `audit.json` is read; of a stage or fold that of the run around it.
    facts : mapping
        The rest of report.json: its `n` and `baselines`.
    without_patient : int
        Scored images whose patient is not known; they count where there is no audit.
    external : bool
        Whether the scored images are no part of the run: the run's findings are then no warnings of these scores.
    """
    read = _read(run)
    verdict = dict(read["verdict"]) if read else {"word": None, "sentences": [], "findings": []}
    findings: list[Finding] = verdict.get("findings") or _of_earlier(verdict)
    if read is None or external:
        counted = {"images_without_patient": without_patient, "counts": {"images": facts["n"]}}
        unknown = [] if external else patients_unknown(counted | {"splits": {"train": 1, "test": 1}})
        findings = [*({**each, "level": "note"} for each in findings), *unknown]
    findings = [*findings, *_shortcuts(facts)]
    order = ("leak", "warning", "note")
    findings.sort(key=lambda each: order.index(each["level"]))
    said = {"findings": findings}
    mended = any(each["kind"].endswith("_across_splits") for each in findings)
    return {
        "word": verdict["word"],
        "level": next((level for level in order[:2] if of_level(said, level)), None),
        "title": title(said),
        "findings": findings,
        "counts": read["counts"] if read else None,
        "patients_across_splits": len(read["patients_across_splits"]) if read else None,
        "images_without_patient": read["images_without_patient"] if read else without_patient,
        "groups": read["groups"][:GROUPS] if read else [],
        "advice": ADVICE if mended and read and read.get("command") else "",
        "command": read.get("command", "") if read and mended else "",
        "note": _ELSEWHERE if external and read else "",
    }


def _read(run: Path) -> dict[str, Any] | None:
    """`audit.json` of a run, or of the cascade or pool that it is a part of."""
    for place in (run, run.parent, run / "flat"):
        if (place / "audit.json").is_file() and (place / folders.MARK).is_file():
            found = folders.read_json(place / "audit.json")
            return dict(found) if isinstance(found.get("verdict"), dict) else None
    return None


def _of_earlier(verdict: Mapping[str, Any]) -> list[Finding]:
    """The findings of an audit that an earlier version wrote: sentences without a weight."""
    if verdict.get("word") == "clean":
        return []
    marks = "in more than one of train, val and test"
    return [
        {"kind": "other", "level": "leak" if marks in sentence else "note", "sentence": sentence}
        for sentence in verdict.get("sentences", ())
    ]


def _shortcuts(facts: Mapping[str, Any]) -> list[Finding]:
    """Blind baselines of this report that see no lung and reach an AUC of 0.80."""
    found = []
    for each in facts["baselines"]:
        auc = each["scores"]["auc"]["value"] if each["name"] in SEEN else None
        if auc is not None and auc >= SHORTCUT:
            sentence = (
                f"{_WORDS[each['name']]} reaches AUC {auc:.2f} on the scored images: the model may have learnt the "
                "same. Compare its scores with this baseline."
            )
            found.append({"kind": "shortcut", "level": "warning", "sentence": sentence})
    return found
