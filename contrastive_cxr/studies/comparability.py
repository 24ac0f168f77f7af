"""Whether runs may be compared: the same images, the same labels, the same label map; and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr.run_folder.results import Scored

_SHOWN = 3
_MAP = ("columns", "classes", "drop")


def differences(first: Scored, others: Sequence[Scored], names: dict[str, str]) -> list[str]:
    """What keeps each of `others` from being compared with `first`, one sentence each; `names` by `str(run)`."""
    by_content = _by_content([first, *others])
    faults = []
    for other in others:
        mine, theirs = names[str(first.run)], names[str(other.run)]
        maps = _map_faults(first, other, mine, theirs)
        faults += [*maps, *_image_faults(first, other, mine, theirs, by_content, labels=not maps)]
    return faults


def align(first: Scored, other: Scored) -> Scored:
    """`other` with its rows in the order of `first`, whose images it scored."""
    by_content = _by_content([first, other])
    place = {key: row for row, key in enumerate(_keys(other, by_content))}
    rows = np.array([place[key] for key in _keys(first, by_content)], dtype=np.int64)
    return replace(
        other,
        rows=other.rows.iloc[rows].reset_index(drop=True),
        probabilities=other.probabilities[rows],
        verdicts=None if other.verdicts is None else other.verdicts[rows],
    )


def _by_content(runs: Sequence[Scored]) -> bool:
    """Whether every run knows its images' content, so that moved folders do not matter."""
    return all("digest" in run.rows and (run.rows["digest"] != "").all() for run in runs)


def _keys(run: Scored, by_content: bool) -> list[str]:
    """What an image is known by: its content, or its path; copies are numbered in the order of their paths."""
    words = run.rows["digest"] if by_content else run.rows["path"]
    order = run.rows["path"].argsort(kind="stable")
    copies = pd.Series(words.iloc[order]).groupby(words.iloc[order]).cumcount().sort_index()
    return [f"{word}/{number}" for word, number in zip(words, copies, strict=True)]


def _map_faults(first: Scored, other: Scored, mine: str, theirs: str) -> list[str]:
    """Other classes, another positive class, or classes that stand for other labels."""
    here, there = first.facts["task"], other.facts["task"]
    if here["classes"] != there["classes"]:
        return [
            f"{theirs} has another label map than {mine}: its classes are {', '.join(there['classes'])} (task "
            f"{there['name']}), not {', '.join(here['classes'])} (task {here['name']}); compare runs of one task"
        ]
    faults = []
    if here["positive"] != there["positive"]:
        faults.append(
            f"{theirs} has another positive class than {mine}: {there['positive']}, not {here['positive']}; its recall "
            "is of another class"
        )
    maps = [_plain(run.recipe.get("task")) for run in (first, other)]
    if all(maps):
        faults += [
            f"{theirs} has another label map than {mine}: task.{field} is {maps[1].get(field)}, not "
            f"{maps[0].get(field)}; compare runs of one task"
            for field in _MAP
            if maps[0].get(field) != maps[1].get(field)
        ]
    return faults


def _plain(task: Any) -> dict[str, Any]:
    """A task's fields; labels of a class in any order."""
    if not isinstance(task, dict):
        return {}
    classes = task.get("classes") or {}
    ordered = {name: sorted(map(str, values)) for name, values in classes.items()}
    return {**task, "classes": ordered, "drop": sorted(map(str, task.get("drop") or ()))}


def _image_faults(first: Scored, other: Scored, mine: str, theirs: str, by_content: bool, *, labels: bool) -> list[str]:
    """Images that only one run scored, and images whose class differs."""
    here = dict(zip(_keys(first, by_content), first.rows.index, strict=True))
    there = dict(zip(_keys(other, by_content), other.rows.index, strict=True))
    only_here = [first.rows["path"][row] for key, row in here.items() if key not in there]
    only_there = [other.rows["path"][row] for key, row in there.items() if key not in here]
    faults = []
    if only_here or only_there:
        faults.append(
            f"{theirs} scored other images than {mine}: {_listed(only_here)} only in {mine}, {_listed(only_there)} "
            f"only in {theirs} ({len(here)} and {len(there)} in all); score both on the same part of the same data"
        )
    if labels:
        odd = [
            f"{first.rows['path'][row]} ({first.rows['class'][row]}, {other.rows['class'][there[key]]})"
            for key, row in here.items()
            if key in there and first.rows["class"][row] != other.rows["class"][there[key]]
        ]
        if odd:
            faults.append(f"{theirs} has another label than {mine} for {_listed(odd)}; correct one of the sources")
    return faults


def _listed(words: Sequence[str]) -> str:
    """`12 images (such as a, b, c)`."""
    if not words:
        return "no image"
    return f"{len(words)} image{'s' * (len(words) > 1)} (such as {', '.join(map(str, words[:_SHOWN]))})"
