"""The table of `--fix`: copies count as one patient in it, so that a split keeps them on one side."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr.audit.groups import Ints, numbers
from contrastive_cxr.audit.links import Links


def owners(table: pd.DataFrame, links: Links) -> Ints:
    """Number of each row's owner, int64 [N]: rows of one patient, and copies, share it; an unknown patient is alone."""
    first: dict[str, int] = {}
    known = [(row, first.setdefault(name, row)) for row, name in enumerate(table["patient"]) if name]
    rows, origins = np.array(known, dtype=np.int64).reshape(-1, 2).T
    return numbers(np.concatenate([rows, links.first]), np.concatenate([origins, links.second]), len(table))


def mended(table: pd.DataFrame, links: Links, groups: list[dict[str, Any]]) -> tuple[str, pd.DataFrame]:
    """The folder that contains all images, and the table for `data.source=csv`.

    Columns: file (relative to the folder), label, patient (one for each group of copies; unknown stays empty), split if
    the data has one, `origin` (the source), `copies` (the number of the group in audit.json, from 1),
    `label_conflict` (`yes` if the group has several labels).
    """
    root = os.path.commonpath(sorted(set(table["root"])))
    files = [os.path.relpath(os.path.join(*pair), root) for pair in zip(table["root"], table["path"], strict=True)]
    group, conflict = [""] * len(table), [""] * len(table)
    for number, each in enumerate(groups, start=1):
        for row in each["rows"]:
            group[row], conflict[row] = str(number), "yes" if each["conflicting_labels"] else ""
    found = {
        "file": [file.replace(os.sep, "/") for file in files],
        "label": table["label"].tolist(),
        "patient": _patients(table, owners(table, links), group),
        "split": table["split"].tolist(),
        "origin": table["source"].tolist(),
        "copies": group,
        "label_conflict": conflict,
    }
    if not any(found["split"]):
        del found["split"]
    return root, pd.DataFrame(found)


def _patients(table: pd.DataFrame, owner: Ints, group: list[str]) -> list[str]:
    """A patient name for each row: its own; for copies the known names joined, or one for the group; '' if unknown."""
    names: dict[int, list[str]] = {}
    marks: dict[int, str] = {}
    for row, number in enumerate(owner.tolist()):
        name = str(table["patient"].iloc[row])
        known = names.setdefault(number, [])
        if name and name not in known:
            known.append(name)
        if group[row]:
            marks.setdefault(number, f"copies-{group[row]}")
    return ["+".join(names[number]) or marks.get(number, "") for number in owner.tolist()]
