"""Copies gathered into groups, as they stand in audit.json."""

from __future__ import annotations

from collections import deque
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from contrastive_cxr.audit.links import Links
from contrastive_cxr.audit.symmetries import NAMES, composed, inverse

PARTS = ("train", "val", "test")
CLASS = "class of the task"
"""Column of the task's class of each row; '' where the task leaves the row out."""
Ints = NDArray[np.int64]


def numbers(first: Ints, second: Ints, n: int) -> Ints:
    """Number of each row's group, int64 [n]: rows joined by a pair, directly or through others."""
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def gather(table: pd.DataFrame, links: Links) -> list[dict[str, Any]]:
    """The groups of copies, the worst first: across splits, then across labels, then across sources, then the largest.

    Parameters
    ----------
    table : N rows of path, label, patient, split, source, width, height; and `CLASS`, where a task is known: labels of
        one class do not conflict
    links : pairs of its rows

    Returns
    -------
    `{kind, images, splits, labels, classes, sources, patients, transforms, correlation, across_splits,
    conflicting_labels, across_sources, rows}`, `classes` where a task is known; the lists run alongside `images`.
    `rows` are the table's, for pictures.
    """
    group = numbers(links.first, links.second, len(table))
    members: dict[int, list[int]] = {}
    for row in np.unique(np.concatenate([links.first, links.second])):
        members.setdefault(int(group[row]), []).append(int(row))
    inside: dict[int, list[int]] = {}
    for link, row in enumerate(links.first):
        inside.setdefault(int(group[row]), []).append(link)
    found = [_record(table, links, rows, inside[number]) for number, rows in members.items()]
    return sorted(
        found,
        key=lambda each: (
            not each["across_splits"], not each["conflicting_labels"], not each["across_sources"], -len(each["images"]),
        ),
    )  # fmt: skip


def _record(table: pd.DataFrame, links: Links, rows: list[int], inside: list[int]) -> dict[str, Any]:
    part = table.iloc[rows]
    splits, labels, sources = (part[name].tolist() for name in ("split", "label", "source"))
    classes = part[CLASS].tolist() if CLASS in part else None
    meant = set(labels) if classes is None else set(classes) - {""}
    return {
        "kind": "identical" if links.identical[inside].all() else "near",
        "images": part["path"].tolist(),
        "splits": splits,
        "labels": labels,
        **({} if classes is None else {"classes": classes}),
        "sources": sources,
        "patients": part["patient"].tolist(),
        "transforms": _transforms(table, links, rows[0], inside, rows),
        "correlation": round(float(links.correlation[inside].min()), 4),
        "across_splits": len(set(splits) & set(PARTS)) > 1,
        "conflicting_labels": len(meant) > 1,
        "across_sources": len(set(sources)) > 1,
        "rows": rows,
    }


def _transforms(table: pd.DataFrame, links: Links, start: int, inside: list[int], rows: list[int]) -> list[str]:
    """What takes the group's first image into each, in words, followed along the pairs."""
    ways: dict[int, list[tuple[int, int, bool, bool]]] = {}
    for link in inside:
        first, second = int(links.first[link]), int(links.second[link])
        turn, same, cut = int(links.symmetry[link]), bool(links.identical[link]), bool(links.cropped[link])
        ways.setdefault(first, []).append((second, turn, same, cut))
        ways.setdefault(second, []).append((first, inverse(turn), same, cut))
    known = {start: (0, True, False)}
    waiting = deque([start])
    while waiting:
        row = waiting.popleft()
        for other, turn, same, cut in ways[row]:
            if other not in known:
                turned, equal, cropped = known[row]
                known[other] = (composed(turned, turn), equal and same, cropped or cut)
                waiting.append(other)
    sizes = table[["width", "height"]].to_numpy()
    return [_word(*known[row], sizes[start], sizes[row]) if row != start else "first" for row in rows]


def _word(turned: int, equal: bool, cropped: bool, first: NDArray[Any], size: NDArray[Any]) -> str:
    if equal:
        return "identical"
    name = NAMES[turned]
    resized = tuple(size) != tuple(first[::-1] if turned >= NAMES.index("transpose") else first)
    words = ([name] if turned else []) + (["cropped"] if cropped else ["resized"] if resized else [])
    return ", ".join(words) or "re-encoded"


def shared(table: pd.DataFrame, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each pair of sources with a picture in common: images of the one that the other has too, and their labels."""
    images = table["source"].value_counts()
    found: dict[tuple[str, str], tuple[set[int], set[int]]] = {}
    for group in groups:
        by_source: dict[str, set[int]] = {}
        for row, source in zip(group["rows"], group["sources"], strict=True):
            by_source.setdefault(source, set()).add(row)
        for pair in combinations(sorted(by_source), 2):
            sides = found.setdefault(pair, (set(), set()))
            for side, name in zip(sides, pair, strict=True):
                side |= by_source[name]
    return [
        {
            "sources": list(pair),
            "shared": [len(side) for side in sides],
            "images": [int(images[name]) for name in pair],
            "by_label": [table["label"].iloc[sorted(side)].value_counts().to_dict() for side in sides],
        }
        for pair, sides in sorted(found.items())
    ]


def patients_across(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Known patients with images in two of train, val and test."""
    part = table[(table["patient"] != "") & table["split"].isin(PARTS)]
    found = []
    for patient, rows in part.groupby("patient", sort=True):
        splits = [name for name in PARTS if (rows["split"] == name).any()]
        if len(splits) > 1:
            found.append({"patient": str(patient), "splits": splits, "images": rows["path"].tolist()})
    return found
