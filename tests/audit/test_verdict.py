"""The word, and the sentences behind it."""

from __future__ import annotations

from typing import Any

import pytest

from contrastive_cxr.audit.verdict import verdict

COUNTS = dict.fromkeys(
    ("unreadable", "groups", "images_in_groups", "identical", "near", "across_splits", "conflicting_labels",
     "across_sources"), 0,
)  # fmt: skip


def facts(**changes: Any) -> dict[str, Any]:
    counts = COUNTS | changes.pop("counts", {})
    counts = {"images": 9} | counts
    empty: dict[str, Any] = {
        "patients_across_splits": [],
        "images_without_patient": 0,
        "sources_shared": [],
        "associations": [],
        "shift": [],
    }
    return empty | {"counts": counts} | changes


def told(auc: float | None, p: float = 1e-9) -> dict[str, Any]:
    return {"input": "format", "auc": auc, "p": p}


SHIFT = {"first": "train", "second": "test", "input": "metadata"}


@pytest.mark.parametrize(
    ("changes", "word", "part"),
    [
        ({}, "clean", "No copies"),
        ({"counts": {"groups": 2, "images_in_groups": 4, "near": 2}}, "look", "4 images are copies"),
        ({"counts": {"groups": 1, "across_splits": 1}}, "leak", "1 group of copies is in"),
        ({"patients_across_splits": [{}]}, "leak", "1 patient has"),
        ({"counts": {"groups": 1, "conflicting_labels": 1}}, "look", "more than one label"),
        ({"counts": {"unreadable": 3}}, "look", "3 files cannot be read"),
        (
            {"sources_shared": [{"sources": ["a", "b"], "shared": [1, 2], "images": [5, 6]}]},
            "look",
            "1 of 5 images of a",
        ),
        ({"associations": [told(0.9)]}, "look", "format alone reaches AUC 0.90"),
        ({"associations": [told(0.6), told(None), told(0.9, p=0.2)]}, "clean", "No copies"),
        ({"shift": [SHIFT | {"auc": 0.8}]}, "look", "distinguishes them with AUC 0.80"),
        ({"shift": [SHIFT | {"auc": 0.6}, SHIFT | {"auc": None}]}, "clean", "No copies"),
    ],
)
def test_verdicts(changes: dict[str, Any], word: str, part: str) -> None:
    found = verdict(facts(**changes))
    assert found["word"] == word
    assert any(part in sentence for sentence in found["sentences"]), found


@pytest.mark.parametrize(
    ("without", "part"),
    [
        (0, "No copies, no patient in two splits, and"),
        (4, "no known patient in two splits (of 4 of 9 images the patient is not known)"),
        (9, "no known patient (so it is unknown whether one is in two splits)"),
    ],
)
def test_nothing_is_claimed_of_patients_who_are_not_known(without: int, part: str) -> None:
    (sentence,) = verdict(facts(images_without_patient=without))["sentences"]
    assert part in sentence
