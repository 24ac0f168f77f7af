"""The verdict of an audit: one word, and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TELLING = 0.7  # least AUC at which an input that shows no lung is reported
SHIFTED = 0.75  # least AUC at which a difference between two parts is reported
SURE = 0.001  # largest p of an association that is reported


def verdict(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`{word: clean | look | leak, sentences}`, from the facts of audit.json.

    `leak`: copies or a patient are in two of train, val and test, so scores would be too good. `look`: copies,
    conflicting labels, shared sources, unreadable files, or inputs that predict a label or a split; scores may still be
    right.
    """
    leaks, looks = _leaks(facts), [*_copies(facts), *_shortcuts(facts)]
    if leaks:
        return {"word": "leak", "sentences": [*leaks, *looks]}
    if looks:
        return {"word": "look", "sentences": looks}
    return {
        "word": "clean",
        "sentences": [f"No copies, {_patients(facts)}, and only the picture predicts the label."],
    }


def _patients(facts: Mapping[str, Any]) -> str:
    """Words about patients in two splits; images without a known patient are mentioned and not judged."""
    without, images = facts["images_without_patient"], facts["counts"]["images"]
    if not without:
        return "no patient in two splits"
    if without == images:
        return "no known patient (so it is unknown whether one is in two splits)"
    return f"no known patient in two splits (of {without:,} of {images:,} images the patient is not known)"


def _leaks(facts: Mapping[str, Any]) -> list[str]:
    counts, people = facts["counts"], facts["patients_across_splits"]
    found = []
    groups = counts["across_splits"]
    if groups:
        found.append(
            f"{_some(groups, 'group')} of copies {_verb(groups, 'is', 'are')} in more than one of train, val and test: "
            "scores would be too good. Make a new division from the table that --fix writes."
        )
    if people:
        found.append(
            f"{_some(len(people), 'patient')} {_verb(len(people), 'has', 'have')} images in more than one of train, "
            "val and test."
        )
    return found


def _copies(facts: Mapping[str, Any]) -> list[str]:
    counts = facts["counts"]
    found = []
    if counts["groups"]:
        kinds = f"{counts['identical']} identical, {counts['near']} near"
        found.append(
            f"{_some(counts['images_in_groups'], 'image')} are copies of each other, in "
            f"{_some(counts['groups'], 'group')} ({kinds}): a split has to keep each group on one side."
        )
    conflicts = counts["conflicting_labels"]
    if conflicts:
        found.append(f"{_some(conflicts, 'group')} of copies {_verb(conflicts, 'has', 'have')} more than one label.")
    for pair in facts["sources_shared"]:
        (one, other), (shared_one, shared_other), (all_one, all_other) = pair["sources"], pair["shared"], pair["images"]
        found.append(
            f"{one} and {other} share pictures: {shared_one:,} of {all_one:,} images of {one}, {shared_other:,} of "
            f"{all_other:,} of {other}. Do not train on one and score the other."
        )
    if counts["unreadable"]:
        found.append(f"{_some(counts['unreadable'], 'file')} cannot be read and were left out.")
    return found


def _shortcuts(facts: Mapping[str, Any]) -> list[str]:
    found = []
    telling = [each for each in facts["associations"] if (each["auc"] or 0) >= TELLING]
    sure = [each for each in telling if each.get("p", 0) <= SURE]
    if sure:
        best = max(sure, key=lambda each: each["auc"])
        named = ", ".join(each["input"] for each in sure if each["input"] != "all")
        found.append(
            f"The label can be predicted without the picture: a classifier on {_words(best['input'])} reaches AUC "
            f"{best['auc']:.2f} ({named or 'all inputs together'})."
        )
    for each in facts["shift"]:
        if (each["auc"] or 0) >= SHIFTED:
            found.append(
                f"{each['first']} and {each['second']} differ: a classifier on the {each['input']} distinguishes them "
                f"with AUC {each['auc']:.2f}."
            )
    return found


def _words(name: str) -> str:
    return "file format, mode, size and source together" if name == "all" else f"{name} alone"


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _verb(count: int, one: str, several: str) -> str:
    return one if count == 1 else several
