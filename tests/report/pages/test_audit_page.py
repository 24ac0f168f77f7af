"""The page of an audit: escaped, whole, and only what there is."""

from __future__ import annotations

from typing import Any

import numpy as np

from contrastive_cxr.report.pages import audit_page
from tests.report.pages.test_page import Page

GROUP = {
    "kind": "near", "images": ["<i>a.png", "b.png"], "splits": ["train", "test"], "labels": ["<b>x", "y"],
    "sources": ["s", "t"], "patients": ["", "p&q"], "transforms": ["first", "mirror, cropped"], "correlation": 0.98765,
    "across_splits": True, "conflicting_labels": True, "across_sources": True,
}  # fmt: skip


def facts(groups: int = 1, people: int = 1) -> dict[str, Any]:
    return {
        "sources": ["<s>", "t"],
        "counts": {
            "images": 1234, "unreadable": 1, "images_in_groups": 2, "identical": 0, "near": groups, "across_splits": 1,
            "conflicting_labels": 1, "across_sources": 1,
        },
        "groups": [GROUP] * groups,
        "sources_shared": [
            {"sources": ["s", "t"], "shared": [1, 2], "images": [3, 4], "by_label": [{"x": 1}, {"y": 2}]}
        ],
        "images_without_patient": 4,
        "patients_across_splits": [{"patient": "<p>", "splits": ["train", "val"], "images": list("abcdefgh")}] * people,
        "associations": [
            {"input": "format", "n": 9, "values": 2, "test": "chi-squared", "p": 1e-9, "auc": 0.9, "accuracy": 0.8},
            {"input": "all", "n": 9, "auc": None, "accuracy": None},
        ],
        "shift": [{"first": "train", "second": "test", "input": "metadata", "n": 9, "auc": 0.5}],
        "baselines": [{"name": "thumbnail", "split": "test", "n": 9, "accuracy": 0.75, "auc": None}],
        "unreadable": [{"path": "<bad>.png", "label": "x", "source": "s", "error": "is empty"}],
        "faults": ["<fault>"],
        "command": "ccxr audit '<my> scans' --fix clean.csv",
        "verdict": {"word": "leak", "sentences": ["<sentence>"]},
    }  # fmt: skip


def test_everything_is_shown_and_escaped() -> None:
    pixels = np.zeros((20, 30), np.uint8)
    text = audit_page.page(facts(), [[pixels, pixels]])
    page = Page(text)
    assert {"verdict", "faults", "patients", "groups", "unreadable"} <= set(page.ids)
    for word in ("<s>", "<i>a", "<b>x", "<p>", "<bad>", "<fault>", "<sentence>"):
        assert word not in text
        assert word.replace("<", "&lt;").replace(">", "&gt;") in text
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert "mirror, cropped" in text
    assert "<code>ccxr audit &#39;&lt;my&gt; scans&#39; --fix clean.csv</code>" in text
    assert "--fix" not in audit_page.page(facts(groups=0), []), "nothing is mended where there are no copies"
    assert "0.988" in text
    assert "and 2 more" in text, "six of eight images of a patient"


def test_the_tables_that_there_are() -> None:
    titles = [table.title for table in audit_page.tables(facts())]
    assert titles == [
        "Findings",
        "Sources in common",
        "Label without the picture",
        "Differences between splits or sources",
        "Blind baselines",
    ]
    none = facts() | {"associations": [], "shift": [], "baselines": [], "sources_shared": []}
    assert [table.title for table in audit_page.tables(none)] == ["Findings"]


def test_what_is_not_shown_is_counted() -> None:
    pixels = np.zeros((8, 8), np.uint8)
    text = audit_page.page(facts(groups=70, people=60), [[pixels]] * audit_page.GROUPS)
    assert "70 groups, the first 60 here" in text
    assert "60 in all, the first 50 here" in text
    assert "and 1 more" in text, "one picture of two"


def test_nothing_found_is_a_page_too() -> None:
    clean = facts(0, 0) | {"faults": [], "unreadable": [], "verdict": {"word": "clean", "sentences": ["fine"]}}
    assert {"groups", "patients", "faults", "unreadable"}.isdisjoint(Page(audit_page.page(clean, [])).ids)
