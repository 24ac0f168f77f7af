"""The audit on the report's page: the banner, the section, and the card."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from contrastive_cxr import report
from contrastive_cxr.run.folder import write_json
from tests.report.pages.test_page import Page

COMMAND = "ccxr audit 'my <scans>' data.source=folders --fix clean.csv"


def finding(level: str, sentence: str, kind: str = "copies_across_splits") -> dict[str, str]:
    return {"kind": kind, "level": level, "sentence": sentence}


def group(*images: str, across: bool = True) -> dict[str, Any]:
    count = len(images)
    splits = ["train" if "train" in each else "test" for each in images]
    return {
        "images": list(images), "labels": ["<b>x</b>"] * count, "splits": splits,
        "sources": ["s"] * count, "transforms": ["first", *["mirror"] * (count - 1)], "across_splits": across,
    }  # fmt: skip


def audit(level: str | None, *findings: dict[str, str], groups: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    counts = {"images": 1100, "across_splits": 37, "groups": 41, "images_in_groups": 83, "conflicting_labels": 0,
              "unreadable": 2}  # fmt: skip
    return {
        "word": {"leak": "leak", "warning": "look", None: "clean"}[level], "level": level, "title": "LEAK <here>",
        "findings": list(findings), "counts": counts, "patients_across_splits": 0, "images_without_patient": 12,
        "groups": groups or [], "advice": "Write a table:" if level == "leak" else "",
        "command": COMMAND if level == "leak" else "", "note": "",
    }  # fmt: skip


def written(run: Path, found: dict[str, Any] | None) -> tuple[str, str]:
    """The page and the card of a run with this audit; without arrays, whose map would take most of the time."""
    shutil.rmtree(run / "finetune", ignore_errors=True)
    facts = json.loads((run / "report.json").read_text())
    write_json(run / "report.json", facts | {"audit": found})
    text = report.write(run).read_text(encoding="utf-8")
    Page(text)
    return text, (run / "model-card.md").read_text(encoding="utf-8")


def banner(text: str) -> str:
    """The banner, '' where there is none; before everything else of the page's main part."""
    found = re.search(r"<main>\s*(<div class=\"banner.*?)<div class=\"cards\">", text, re.S)
    return found[1] if found else ""


def test_a_leak_is_a_red_banner_above_the_scores(run_folder: Path) -> None:
    leak = finding("leak", "37 groups of <copies>")
    text, card = written(run_folder, audit("leak", leak, finding("note", "a note")))
    top = banner(text)
    assert 'class="banner leak" role="alert"' in top
    assert "37 groups of &lt;copies&gt;" in top
    assert "ccxr audit &#39;my &lt;scans&gt;&#39; data.source=folders --fix clean.csv</code>" in top
    assert "a note" not in top
    section = text[text.index('<section id="audit">') :]
    section = section[: section.index("</section>")]
    for words in ("a note", "<dd>37</dd>", "<dd>1,100</dd>", "<dd>12</dd>", "Verdict: <b>leak</b>"):
        assert words in section
    assert "Leak: 37 groups of \\<copies\\>" in card or "Leak: 37 groups of &lt;copies&gt;" in card
    assert "<here>" not in text


def test_a_shortcut_is_an_amber_banner_and_notes_are_none(run_folder: Path) -> None:
    shortcut = finding("warning", "file metadata alone reaches AUC 0.83", "shortcut")
    top = banner(written(run_folder, audit("warning", shortcut))[0])
    assert 'class="banner warning"' in top
    assert "AUC 0.83" in top
    assert "<pre" not in top, "there is no command that mends it"
    text, card = written(run_folder, audit(None))
    assert banner(text) == ""
    assert "only the picture predicts the label" in text
    assert "Verdict: clean." in card


def test_copies_stand_side_by_side_one_of_each_part_first(run_folder: Path) -> None:
    table = pd.read_csv(run_folder / "finetune" / "arrays" / "rows.csv", dtype=str, na_filter=False)
    rows = pd.concat([table, pd.read_csv(run_folder / "finetune" / "arrays" / "train_rows.csv", dtype=str)])
    rows = rows.fillna("").assign(source="s", digest="")
    rows.to_csv(run_folder / "manifest.csv", index=False)
    many = group("train0.png", "train1.png", "train2.png", "train3.png", "test4.png")
    leak = finding("leak", "37 groups")
    text, _ = written(run_folder, audit("leak", leak, groups=[many, group("gone.png", "test1.png", across=False)]))
    shown = text[text.index('<div class="groups"') : text.index("</section>", text.index('<div class="groups"'))]
    captions = re.findall(r'<figure data-name="([^"]*)">', shown)
    assert captions == ["train0.png", "test4.png", "train1.png", "train2.png", "gone.png", "test1.png"]
    assert shown.count("data:image/jpeg") == 5
    assert shown.count("image not readable here") == 1
    assert "and 1 more" in shown
    assert "2 of 41 groups" in text
    assert "<b>x</b>" not in shown


@pytest.mark.parametrize("found", [None])
def test_reports_from_before_the_audit_stood_in_them_make_a_page(run_folder: Path, found: None) -> None:
    text, card = written(run_folder, found)
    assert '<section id="audit">' not in text
    assert banner(text) == ""
    assert "Not audited." in card
