"""Which folder of an image's path is its class, its patient, where it is from; and what a tree holds, in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from contrastive_cxr.data.files import tree
from contrastive_cxr.data.tables.columns import SPLITS
from contrastive_cxr.datasets.new_recipe.guess import FEWEST_UNLABELLED, Guess, some
from contrastive_cxr.datasets.new_recipe.label_columns import CLASS_WORDS, MOST_CLASSES
from contrastive_cxr.errors import RequestError

_PERSON = re.compile(r"(?i)^(?:patient|subject|person|case|pat|sub|id|p|s)?[-_ ]?[a-z]{0,3}[-_]?\d+$")
LEVELS = 2
"""Folders below the root (and below train, val, test) that are read as one label where nothing says otherwise."""


def guess(paths: Sequence[str], root: str) -> Guess:
    """The settings of `data` that read class folders.

    Parameters
    ----------
    paths : sequence of str
        The images, relative to the root, with `/`; all in folders.

    Raises
    ------
    RequestError
        Several levels of folders, any of which may be the class: what was seen, and what to write by hand.
    """
    parts = [path.split("/")[:-1] for path in paths]
    splits = {each[0] for each in parts if each and each[0].lower() in SPLITS}
    start = 1 if splits and all(each and each[0] in splits for each in parts) else 0
    folders = [each[start:] for each in parts]
    deepest = max(map(len, folders), default=0)
    found = Guess()
    labels = {"/".join(each) for each in folders}
    even = all(len(each) == deepest for each in folders)
    if len(paths) >= FEWEST_UNLABELLED and len(labels) == 1:
        words = f"all images lie in the folder {some(labels)}, which tells nothing apart, so it is no label"
        found.set("label_folders", 0, words)
        return found
    if len(paths) >= FEWEST_UNLABELLED and even and deepest == 1 and _is_persons({each[0] for each in folders}):
        found.set("label_folders", 0, "the folders are patients and no classes")
        return _with_patient(found, start, 0, {each[0] for each in folders})
    if deepest <= LEVELS and len(labels) <= MOST_CLASSES and not _is_crossed(folders):
        words = "the names of the class folders are the labels"
        found.reasons["source"] = words if deepest < 2 else f"{words}, those of nested folders joined by /"
        return found
    levels = [{each[level] for each in folders if len(each) > level} for level in range(deepest)]
    if even and deepest == 2 and _is_persons(levels[1]) and 2 <= len(levels[0]) <= MOST_CLASSES:
        found.set("label_folders", 1, f"the first level of folders has {len(levels[0])} names")
        return _with_patient(found, start, 1, levels[1])
    if even and deepest == 2 and _is_persons(levels[0]) and 2 <= len(levels[1]) <= MOST_CLASSES:
        return _with_label(_with_patient(found, start, 0, levels[0]), start, 1, levels[1])
    if even and deepest == 2 and all(2 <= len(names) <= MOST_CLASSES for names in levels):
        known = [any(CLASS_WORDS.search(name) for name in names) for names in levels]
        if known[0] != known[1]:
            label = known.index(True)
            found = _with_label(found, start, label, levels[label])
            return _with_source(found, start, 1 - label, levels[1 - label])
    raise RequestError(*_by_hand(root, levels, start))


def _is_crossed(folders: list[list[str]]) -> bool:
    """Whether names of the second level come again under several of the first: hospital/class, class/hospital."""
    above: dict[str, set[str]] = {}
    for each in folders:
        if len(each) > 1:
            above.setdefault(each[1], set()).add(each[0])
    return any(len(names) > 1 for names in above.values())


def _is_persons(names: set[str]) -> bool:
    """Whether names of folders are those of patients: numbered, and more than classes would be, or mostly so called."""
    numbered = sum(_PERSON.match(name) is not None for name in names)
    called = sum(re.match(r"(?i)patient|subject|case|person", name) is not None for name in names)
    return len(names) > 2 and numbered == len(names) and (len(names) > MOST_CLASSES or called == len(names))


def _match(start: int, level: int) -> dict[str, str]:
    """The part of a file's name that is its folder of a level, counted below the folders of the split."""
    return {"column": "file", "match": f"^(?:[^/]+/){{{start + level}}}([^/]+)/"}


def _with_patient(found: Guess, start: int, level: int, names: set[str]) -> Guess:
    words = f"the {'first' if level == 0 else 'second'} level of folders has {len(names):,} numbered names"
    found.set("columns", {**found.settings.get("columns", {}), "patient": _match(start, level)})
    found.reasons["columns.patient"] = words
    return found


def _with_label(found: Guess, start: int, level: int, names: set[str]) -> Guess:
    found.set("columns", {**found.settings.get("columns", {}), "label": _match(start, level)})
    found.reasons["columns.label"] = f"the names of that level of folders are {some(sorted(names))}"
    return found


def _with_source(found: Guess, start: int, level: int, names: set[str]) -> Guess:
    found.set("columns", {**found.settings.get("columns", {}), "source": _match(start, level)})
    found.reasons["columns.source"] = f"the same classes lie under each of {some(sorted(names))}"
    found.doubts.append(f"the folders {some(sorted(names))} are read as where the images are from, not as classes")
    return found


def _by_hand(root: str, levels: list[set[str]], start: int) -> list[str]:
    """What was seen of a tree of several levels, and the line for each that may be the class."""
    seen = "; ".join(
        f"level {number + 1} has {len(names):,} names ({some(sorted(names), 4)})" for number, names in enumerate(levels)
    )
    lines = [
        f"level {number + 1}: data.columns.label='{{column: file, match: \"{_match(start, number)['match']}\"}}'"
        for number, names in enumerate(levels)
        if 2 <= len(names) <= MOST_CLASSES
    ]
    return [
        f"{root} has {len(levels)} levels of folders, and nothing says which of them is the class. Seen: {seen}",
        "write by hand: which level is the class, behind the folder of ccxr init: "
        f"{'; '.join(lines) or 'data.label_folders=1 where it is the outermost'}; the patient's level likewise as "
        "data.columns.patient",
    ]


def seen(root: str) -> str:
    """What lies in a folder: files by their endings, and the names of its folders."""
    listed = tree.listed(root, outside=True)
    names = [*listed.files, *(name for name, _ in listed.left)]
    if not names:
        return "no files"
    endings = Counter(PurePosixPath(name).suffix.lower() or "without ending" for name in names)
    kinds = ", ".join(f"{count:,} {ending}" for ending, count in endings.most_common(6))
    folders = Counter(name.rpartition("/")[0] or "the folder itself" for name in names)
    places = ", ".join(f"{count:,} in {folder}" for folder, count in folders.most_common(6))
    more = f" and {len(folders) - 6} more folders" if len(folders) > 6 else ""
    return f"{len(names):,} files ({kinds}), {len(listed.files):,} of them images; {places}{more}"
