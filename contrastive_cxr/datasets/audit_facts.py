"""The facts of audit.json about copies, labels and patients."""

from __future__ import annotations

from typing import Any

import pandas as pd

from contrastive_cxr.audit import groups
from contrastive_cxr.audit.links import Links
from contrastive_cxr.data.manifest import Manifest, values_of
from contrastive_cxr.tasks import Task

VERSION = 1


def classes_of(rows: Manifest, task: Task) -> list[str]:
    """The task's class of each row, str [N]: '' where the task leaves it out, the label itself where no class takes it.

    Raises
    ------
    RequestError
        The rows lack a column that the task reads.
    """
    values = values_of(rows, task)
    numbers = {value: task.encode(value) for value in set(values)}
    names = {value: value if number is None else (*task.names, "")[number] for value, number in numbers.items()}
    return [names[value] for value in values]


def facts_of(table: pd.DataFrame, found: Links, bad: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What audit.json says of copies and patients, and the groups with their rows."""
    gathered = groups.gather(table, found)
    counts = {
        "images": len(table),
        "unreadable": bad["count"],
        "groups": len(gathered),
        "images_in_groups": sum(len(each["images"]) for each in gathered),
        "identical": sum(each["kind"] == "identical" for each in gathered),
        "near": sum(each["kind"] == "near" for each in gathered),
        **{
            name: sum(each[name] for each in gathered)
            for name in ("across_splits", "conflicting_labels", "across_sources")
        },
    }
    facts = {
        "version": VERSION,
        "sources": sorted(set(table["source"])),
        "labels": table["label"].value_counts().to_dict(),
        "splits": table["split"].value_counts().to_dict(),
        "counts": counts,
        "groups": [{name: value for name, value in each.items() if name != "rows"} for each in gathered],
        "sources_shared": groups.shared(table, gathered),
        "patients_across_splits": groups.patients_across(table),
        "compared_by": "classes" if groups.CLASS in table else "labels",
        "images_without_patient": int((table["patient"] == "").sum()),
        "unreadable": bad["listed"],
    }
    return facts, gathered
