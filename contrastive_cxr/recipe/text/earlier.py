"""Recipes that an earlier version wrote out: settings that did not exist then keep the meaning of that time."""

from __future__ import annotations

# Settings that have another name now: {section: {earlier name: name}}.
_OF_PHASES = {"average": "ema_decay", "grow_from": "initial_image_size"}
RENAMED: dict[str, dict[str, str]] = {
    "pretrain": _OF_PHASES,
    "embed": {**_OF_PHASES, "memory": "memory_bank_size"},
    "finetune": {**_OF_PHASES, "thawed_lr": "backbone_lr"},
    "runtime": {"encode_batch": "eval_batch_size"},
}
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


def rename(tree: dict[str, object]) -> tuple[list[str], list[str]]:
    """Give the settings of a recipe the names that they have now.

    Returns
    -------
    told, faults : list of str
        A sentence for each setting with an earlier name; one for each that is given under both names.
    """
    told, faults = [], []
    for name, names in RENAMED.items():
        section = tree.get(name)
        if not isinstance(section, dict):
            continue
        for old, new in names.items():
            if old not in section:
                continue
            value = section.pop(old)
            if new in section:
                faults.append(f"`{name}.{old}` is called `{name}.{new}` now, and both are given; keep {name}.{new}")
            else:
                section[new] = value
                told.append(f"{name}.{old} is called {name}.{new} now; the earlier name is read as before")
    return told, faults


def current(keys: list[str]) -> list[str]:
    """The name that a setting has now, of one that an override gives: `["pretrain", "average"]`."""
    if len(keys) != 2:
        return keys
    return [keys[0], RENAMED.get(keys[0], {}).get(keys[1], keys[1])]


def is_recorded(tree: dict[str, object]) -> bool:
    """Whether a recipe was written out by a run, and not by hand."""
    data = tree.get("data")
    return isinstance(data, dict) and data.keys() >= _DATA


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
    if is_recorded(tree):
        _fill(data, OF_DATA)


def _fill(section: dict[str, object], then: dict[str, object]) -> None:
    section.update({key: value for key, value in then.items() if key not in section})
