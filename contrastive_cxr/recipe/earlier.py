"""Recipes that an earlier version wrote out: settings that did not exist then keep the meaning of that time."""

from __future__ import annotations

# Settings of `data` (and of each source in data.join) that came later, and what was done before there were any.
LATER: dict[str, object] = {
    "find_by": "ending",
    "label_folders": None,
    "frames": None,
    "axis": "axial",
    "tags": [],
    "patient_ids": "hashed",
}
# What every version wrote out, and nobody writes by hand in one section.
_WRITTEN_OUT = {"source", "root", "csv", "outside", "images", "seed"}


def keep_meaning(tree: dict[str, object]) -> None:
    """Set what is missing in the sections of a written-out recipe that is older than these settings."""
    data = tree.get("data")
    if not isinstance(data, dict):
        return
    joined = data.get("join")
    for section in (data, *(joined if isinstance(joined, list) else ())):
        if isinstance(section, dict) and section.keys() >= _WRITTEN_OUT and "find_by" not in section:
            section.update({key: value for key, value in LATER.items() if key not in section})
