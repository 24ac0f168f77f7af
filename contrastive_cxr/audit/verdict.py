"""What an audit comes to: one word, findings with their weight, and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contrastive_cxr.audit.groups import PARTS
from contrastive_cxr.metrics import baselines

TELLING = 0.7  # AUC of something that sees no lung from which it is worth a word
SHORTCUT = 0.8  # from which it is a warning: scores may come from it
SHIFTED = 0.75
SURE = 0.001  # p of an association
Finding = dict[str, str]


def verdict(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`{word: clean | look | leak, sentences, findings: [{kind, level, sentence}]}` of the facts of audit.json.

    The word is `leak` where something stands in two of train, val and test, so that scores would be too good; `look`
    where copies, conflicting labels, shared sources, unreadable files, unknown patients, or inputs that give a label or
    a split away were found: scores may still be honest.

    A finding's level is `leak`, `warning` (an unknown patient, a shortcut from an AUC of 0.80) or `note`. The sentences
    are those of the findings in the same order; without a finding there is one sentence that says so.
    """
    found = [*_leaks(facts), *patients_unknown(facts), *_copies(facts), *_shortcuts(facts), *_border(facts)]
    if not found:
        sentence = "No copies, no patient in two splits, and only the picture predicts the label."
        return {"word": "clean", "sentences": [sentence], "findings": []}
    word = "leak" if any(each["level"] == "leak" for each in found) else "look"
    return {"word": word, "sentences": [each["sentence"] for each in found], "findings": found}


def _finding(kind: str, level: str, sentence: str) -> Finding:
    return {"kind": kind, "level": level, "sentence": sentence}


def patients_unknown(facts: Mapping[str, Any]) -> list[Finding]:
    """A warning where the patient of some or all images is not known.

    Parameters
    ----------
    facts : mapping
        `images_without_patient`, `counts.images`, and `splits` where they are known.
    """
    without, images = facts["images_without_patient"], facts["counts"]["images"]
    if not without:
        return []
    divided = sum(part in PARTS for part in facts.get("splits", {})) > 1
    who = "No patient is known" if without == images else f"The patient of {without:,} of {images:,} images is unknown"
    risk = "one patient may be" if divided else "a split may put one patient"
    sentence = (
        f"{who}: {risk} on both sides of the split, and the scores would be too good. If the data has patients, name "
        "their column with data.columns.patient=COLUMN."
    )
    return [_finding("unknown_patients", "warning", sentence)]


def _leaks(facts: Mapping[str, Any]) -> list[Finding]:
    counts, people = facts["counts"], facts["patients_across_splits"]
    found = []
    groups = counts["across_splits"]
    if groups:
        sentence = (
            f"{_some(groups, 'group')} of copies {_verb(groups, 'is', 'are')} in more than one of train, val and test: "
            "scores would be too good. Make a new division from the table that ccxr audit --fix writes."
        )
        found.append(_finding("copies_across_splits", "leak", sentence))
    if people:
        sentence = (
            f"{_some(len(people), 'patient')} {_verb(len(people), 'has', 'have')} images in more than one of "
            "train, val and test: scores would be too good."
        )
        found.append(_finding("patients_across_splits", "leak", sentence))
    return found


def _copies(facts: Mapping[str, Any]) -> list[Finding]:
    counts = facts["counts"]
    found = []
    if counts["groups"]:
        kinds = f"{counts['identical']} identical, {counts['near']} near"
        sentence = (
            f"{_some(counts['images_in_groups'], 'image')} are copies of each other, in "
            f"{_some(counts['groups'], 'group')} ({kinds}): a split has to keep each group on one side."
        )
        found.append(_finding("copies", "note", sentence))
    if counts["conflicting_labels"]:
        found.append(_finding("conflicting_labels", "note", _conflict(facts)))
    for pair in facts["sources_shared"]:
        (one, other), (mine, theirs), (all_mine, all_theirs) = pair["sources"], pair["shared"], pair["images"]
        sentence = (
            f"{one} and {other} share pictures: {mine:,} of {all_mine:,} images of {one}, {theirs:,} of "
            f"{all_theirs:,} of {other}. Do not train on one and score the other."
        )
        found.append(_finding("shared_sources", "note", sentence))
    if counts["unreadable"]:
        sentence = f"{_some(counts['unreadable'], 'file')} cannot be read and were left out."
        found.append(_finding("unreadable", "note", sentence))
    return found


def _conflict(facts: Mapping[str, Any]) -> str:
    """Copies under several labels; their classes are compared where a task is known, else their names."""
    groups = _some(facts["counts"]["conflicting_labels"], "group")
    verb = _verb(facts["counts"]["conflicting_labels"], "has", "have")
    if facts.get("compared_by") == "classes":
        return f"{groups} of copies {verb} more than one class of the task."
    sentence = f"{groups} of copies {verb} more than one label."
    if len(facts.get("sources", ())) > 1:
        sentence += " The names are compared as they are: give the task (task=..., or --recipe) to compare by classes."
    return sentence


def _shortcuts(facts: Mapping[str, Any]) -> list[Finding]:
    found = []
    telling = [each for each in facts["associations"] if (each["auc"] or 0) >= TELLING]
    sure = [each for each in telling if each.get("p", 0) <= SURE]
    if sure:
        best = max(sure, key=lambda each: each["auc"])
        named = ", ".join(each["input"] for each in sure if each["input"] != "all")
        sentence = (
            f"The label can be told without the picture: a classifier on {_words(best['input'])} reaches AUC "
            f"{best['auc']:.2f} ({named or 'all inputs together'})."
        )
        found.append(_finding("shortcut", "warning" if best["auc"] >= SHORTCUT else "note", sentence))
    for each in facts["shift"]:
        if (each["auc"] or 0) >= SHIFTED:
            sentence = (
                f"{each['first']} and {each['second']} differ: a classifier on the {each['input']} tells them apart "
                f"with AUC {each['auc']:.2f}."
            )
            found.append(_finding("shift", "note", sentence))
    return found


def _border(facts: Mapping[str, Any]) -> list[Finding]:
    """The blind baseline that sees the border alone, where it tells the label."""
    auc = max((each["auc"] or 0 for each in facts["baselines"] if each["name"] == baselines.BORDER), default=0)
    if auc < SHORTCUT:
        return []
    sentence = (
        f"The border of the images alone reaches AUC {auc:.2f}: a network may learn how they are framed or marked. "
        "Compare its scores with this baseline, and try it on images from elsewhere."
    )
    return [_finding("shortcut", "warning", sentence)]


def _words(name: str) -> str:
    return "file format, mode, size and source together" if name == "all" else f"{name} alone"


def _verb(count: int, one: str, several: str) -> str:
    return one if count == 1 else several


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
