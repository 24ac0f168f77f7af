"""What must not be overlooked of an audit."""

from __future__ import annotations

import pytest

from contrastive_cxr.datasets.audit_words import ADVICE, alert_of, title

COPIES = {"kind": "copies_across_splits", "level": "leak", "sentence": "copies"}
PEOPLE = {"kind": "patients_across_splits", "level": "leak", "sentence": "people"}
UNKNOWN = {"kind": "unknown_patients", "level": "warning", "sentence": "unknown"}
SHORTCUT = {"kind": "shortcut", "level": "warning", "sentence": "shortcut\x1b[2J"}
NOTE = {"kind": "copies", "level": "note", "sentence": "note"}


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ([COPIES, UNKNOWN], "LEAK: the same picture on both sides of the split"),
        ([PEOPLE], "LEAK: the same patient on both sides of the split"),
        ([COPIES, PEOPLE], "LEAK: the same picture and the same patient on both sides of the split"),
        ([UNKNOWN, NOTE], "WARNING: the patients are not known"),
        ([UNKNOWN, SHORTCUT], "WARNING: something other than the finding gives the label away"),
        ([NOTE], ""),
        ([], ""),
    ],
)
def test_the_title_says_the_worst(findings: list[dict[str, str]], words: str) -> None:
    assert title({"findings": findings}) == words
    assert (alert_of({"findings": findings}) is None) == (words == "")


def test_notes_stay_out_and_the_command_stands_where_it_mends_something() -> None:
    found = alert_of({"findings": [UNKNOWN, COPIES, NOTE]}, "ccxr audit x")
    assert found is not None
    assert (found.level, list(found.sentences), found.advice, found.command) == (
        "leak", ["copies", "unknown"], ADVICE, "ccxr audit x",
    )  # fmt: skip
    other = alert_of({"findings": [SHORTCUT]}, "ccxr audit x")
    assert other is not None
    assert (other.level, other.command) == ("warning", "")
    assert other.sentences == ["shortcut\\x1b[2J"], "what would steer a terminal is shown as text"
