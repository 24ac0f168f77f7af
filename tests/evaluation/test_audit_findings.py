"""The audit in report.json: from audit.json, from baselines, and where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contrastive_cxr.audit.verdict import verdict
from contrastive_cxr.evaluation.audit_findings import GROUPS, findings_of

COUNTS = dict.fromkeys(
    ("unreadable", "groups", "images_in_groups", "identical", "near", "across_splits", "conflicting_labels",
     "across_sources"), 0,
)  # fmt: skip
COMMAND = "ccxr audit x --fix clean.csv"


def audited(run: Path, **changes: Any) -> Path:
    """A run with an audit of 90 images: `across` groups of copies are in several parts."""
    counts = {**COUNTS, "images": 90, **changes.pop("counts", {})}
    facts: dict[str, Any] = {
        "counts": counts, "splits": {"train": 60, "test": 30}, "patients_across_splits": [],
        "images_without_patient": 0, "sources_shared": [], "associations": [], "shift": [], "baselines": [],
        "command": COMMAND, "groups": [{"number": number} for number in range(counts["groups"])],
    } | changes  # fmt: skip
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.yaml").write_text("")
    (run / "audit.json").write_text(json.dumps({"verdict": verdict(facts)} | facts))
    return run


def report(*baselines: tuple[str, float | None]) -> dict[str, Any]:
    return {"n": 30, "baselines": [{"name": name, "scores": {"auc": {"value": auc}}} for name, auc in baselines]}


def test_a_leak_is_red_with_its_count_and_command(tmp_path: Path) -> None:
    run = audited(tmp_path / "run", counts={"groups": 8, "across_splits": 7, "near": 8})
    found = findings_of(run, report(), 0)
    assert (found["word"], found["level"], found["command"]) == ("leak", "leak", COMMAND)
    assert found["findings"][0]["sentence"].startswith("7 groups of copies are in more than one of train, val and")
    assert (found["counts"]["across_splits"], len(found["groups"])) == (7, GROUPS)
    assert findings_of(run / "fold0", report(), 0) == found, "a part of it was audited with it"


@pytest.mark.parametrize(
    ("baselines", "level"),
    [
        ([("file metadata", 0.80)], "warning"),
        ([("border, outer 10 %", 0.91)], "warning"),
        ([("file metadata", 0.79), ("32x32 thumbnail", 0.97)], None),
        ([("file metadata", None)], None),
    ],
)
def test_a_shortcut_is_amber_from_0_80(tmp_path: Path, baselines: list[tuple[str, float]], level: str | None) -> None:
    found = findings_of(audited(tmp_path / "run"), report(*baselines), 0)
    assert (found["word"], found["level"]) == ("clean", level)
    assert [each["kind"] for each in found["findings"]] == (["shortcut"] if level else [])
    told = [each["sentence"].partition(" on the")[0] for each in found["findings"]]
    assert told in (
        [],
        ["The file metadata alone reaches AUC 0.80"],
        ["The border of the images alone reaches AUC 0.91"],
    )
    assert not found["command"]


def test_the_worst_comes_first(tmp_path: Path) -> None:
    run = audited(tmp_path / "run", counts={"groups": 1, "across_splits": 1}, images_without_patient=90)
    found = findings_of(run, report(("file metadata", 0.9)), 0)
    assert [each["level"] for each in found["findings"]] == ["leak", "warning", "warning", "note"]


def test_images_from_elsewhere_have_no_leak_of_the_run(tmp_path: Path) -> None:
    run = audited(tmp_path / "run", counts={"groups": 1, "across_splits": 1})
    found = findings_of(run, report(), 5, external=True)
    assert (found["level"], {each["level"] for each in found["findings"]}) == (None, {"note"})
    assert "were not audited" in found["note"]


def test_without_an_audit_unknown_patients_are_still_told(tmp_path: Path) -> None:
    found = findings_of(tmp_path, report(), 12)
    assert (found["word"], found["level"], found["counts"], found["groups"]) == (None, "warning", None, [])
    assert "The patient of 12 of 30 images is unknown" in found["findings"][0]["sentence"]
    assert findings_of(tmp_path, report(), 0)["findings"] == []


def test_an_audit_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    sentences = ["2 groups of copies are in more than one of train, val and test: bad.", "3 files cannot be read."]
    old = {"word": "leak", "sentences": sentences}
    run = audited(tmp_path / "run", verdict=old)
    path = run / "audit.json"
    path.write_text(
        json.dumps({name: each for name, each in json.loads(path.read_text()).items() if name != "command"})
    )
    found = findings_of(run, report(), 0)
    assert [(each["level"], each["sentence"]) for each in found["findings"]] == [
        ("leak", sentences[0]), ("note", sentences[1]),
    ]  # fmt: skip
    assert (found["level"], found["command"]) == ("leak", "")
