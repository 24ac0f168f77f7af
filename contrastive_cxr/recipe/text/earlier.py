"""Recipes that an earlier version wrote out: settings that did not exist then keep the meaning of that time."""

from __future__ import annotations

# Settings of a source (`data`, and each of data.join) that came later, and what was done before there were any.
OF_SOURCES: dict[str, object] = {
    "find_by": "ending",
    "label_folders": None,
    "frames": None,
    "axis": "axial",
    "tags": [],
    "patient_ids": "hashed",
    "columns": {"recognise": False},
}
# The same of `data` alone.
OF_DATA: dict[str, object] = {"decoding": 1}
# What every version wrote out of a source, and of `data`: nobody writes all of it by hand in one section.
_SOURCE = {"source", "root", "csv", "images", "seed"}
_DATA = _SOURCE | {
    "join", "split", "cache_size", "cache_dir", "resize", "intensity", "border_crop", "denoise", "equalise",
    "on_bad_image", "workers",
}  # fmt: skip


def keep_meaning(tree: dict[str, object]) -> None:
    """Set what is missing in the sections of a written-out recipe that is older than these settings."""
    data = tree.get("data")
    if not isinstance(data, dict):
        return
    joined = data.get("join")
    for section in (data, *(joined if isinstance(joined, list) else ())):
        if isinstance(section, dict) and section.keys() >= _SOURCE:
            of_table = section.get("source") == "csv"
            _fill(section, {key: value for key, value in OF_SOURCES.items() if of_table or key != "columns"})
    if data.keys() >= _DATA:
        _fill(data, OF_DATA)


def _fill(section: dict[str, object], then: dict[str, object]) -> None:
    section.update({key: value for key, value in then.items() if key not in section})
