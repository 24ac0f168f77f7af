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
        "baselines": [],
    }
    return empty | {"counts": counts} | changes


def told(auc: float | None, p: float = 1e-9) -> dict[str, Any]:
    return {"input": "format", "auc": auc, "p": p}


def border(auc: float | None) -> dict[str, Any]:
    return {"name": "border, outer 10 %", "auc": auc}


SHIFT = {"first": "train", "second": "test", "input": "metadata"}


@pytest.mark.parametrize(
    ("changes", "word", "part"),
    [
        ({}, "clean", "No copies"),
        ({"counts": {"groups": 2, "images_in_groups": 4, "near": 2}}, "look", "4 images are copies"),
        ({"counts": {"groups": 1, "across_splits": 1}}, "leak", "1 group of copies is"),
        ({"patients_across_splits": [{}]}, "leak", "1 patient has images"),
        ({"counts": {"groups": 1, "conflicting_labels": 1}}, "look", "more than one label"),
        ({"counts": {"unreadable": 3}}, "look", "3 files cannot be read"),
        (
            {"sources_shared": [{"sources": ["a", "b"], "shared": [1, 2], "images": [5, 6]}]},
            "look",
            "1 of 5 images of a",
        ),
        ({"associations": [told(0.9)]}, "look", "format alone reaches AUC 0.90"),
        ({"associations": [told(0.6), told(None), told(0.9, p=0.2)]}, "clean", "No copies"),
        ({"baselines": [border(0.79), border(0.84)]}, "look", "border of the images alone reaches AUC 0.84"),
        ({"baselines": [border(0.79), border(None), {"name": "32x32 thumbnail", "auc": 0.9}]}, "clean", "No copies"),
        ({"shift": [SHIFT | {"auc": 0.8}]}, "look", "tells them apart with AUC 0.80"),
        ({"shift": [SHIFT | {"auc": 0.6}, SHIFT | {"auc": None}]}, "clean", "No copies"),
    ],
)
def test_verdicts(changes: dict[str, Any], word: str, part: str) -> None:
    found = verdict(facts(**changes))
    assert found["word"] == word
    assert any(part in sentence for sentence in found["sentences"]), found


@pytest.mark.parametrize(
    ("without", "splits", "parts"),
    [
        (4, {"train": 5, "test": 4}, ("The patient of 4 of 9 images is unknown: one patient may be on both sides",)),
        (9, {"train": 5, "test": 4}, ("No patient is known: one patient may be on both sides",)),
        (9, {"": 9}, ("No patient is known: a split may put one patient on both sides", "data.columns.patient=")),
    ],
)
def test_unknown_patients_are_a_warning(without: int, splits: dict[str, int], parts: tuple[str, ...]) -> None:
    found = verdict(facts(images_without_patient=without, splits=splits))
    (sentence,) = found["sentences"]
    assert all(part in sentence for part in parts), sentence
    assert (found["word"], [(each["kind"], each["level"]) for each in found["findings"]]) == (
        "look", [("unknown_patients", "warning")],
    )  # fmt: skip
    assert not verdict(facts())["findings"], "all patients are known"


def test_a_shortcut_is_a_warning_from_an_auc_of_0_80() -> None:
    def level(auc: float) -> str:
        return verdict(facts(associations=[told(auc)]))["findings"][0]["level"]

    assert [level(auc) for auc in (0.71, 0.79, 0.80, 0.95)] == ["note", "note", "warning", "warning"]


def test_the_word_is_that_of_the_worst_finding_and_the_leak_comes_first() -> None:
    found = verdict(facts(counts={"groups": 3, "across_splits": 2}, images_without_patient=9))
    assert (found["word"], found["findings"][0]["level"]) == ("leak", "leak")
    assert "2 groups of copies are" in found["sentences"][0]
    assert found["sentences"] == [each["sentence"] for each in found["findings"]]


def test_labels_are_compared_by_class_where_a_task_is_known() -> None:
    def sentence(**changes: Any) -> str:
        return verdict(facts(counts={"groups": 1, "conflicting_labels": 1}, **changes))["sentences"][-1]

    assert sentence(compared_by="classes").endswith("more than one class of the task.")
    assert sentence(sources=["a"]).endswith("more than one label.")
    assert "give the task" in sentence(sources=["a", "b"])
