"""The image files below a folder, and the names and links that lead out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from contrastive_cxr.data.tables import at_most

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
ALLOW = "or allow it with data.outside=true"


def image_files(root: Path, outside: bool) -> tuple[list[str], list[str]]:
    """Files with an image's ending, relative to `root` with `/`, sorted, not hidden; and the faults of the tree.

    Links to files and folders are followed; those that lead out of the root where `outside` allows it. No folder is
    read twice, so links make neither a loop nor copies. Names that are not UTF-8 can stand in no table: faults.
    """
    found: list[str] = []
    faults: list[str] = []
    base = os.path.realpath(root)
    seen, waiting = {base: str(root)}, [("", base)]
    while waiting:
        inside, real = waiting.pop()
        folders = []
        for entry in _entries(root, inside, faults):
            name = f"{inside}/{entry.name}" if inside else entry.name
            linked = entry.is_symlink()
            target = os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
            folder = os.path.isdir(target) if linked else entry.is_dir()
            if not folder and not name.lower().endswith(IMAGE_ENDINGS):
                continue
            fault = _fault(root, name, folder, target, seen, real, base if linked and not outside else "")
            if fault:
                faults.append(fault)
            elif folder:
                seen[target] = str(root / name)
                folders.append((name, target))
            else:
                found.append(name)
        waiting += reversed(folders)
    return sorted(found), at_most(faults)


def _entries(root: Path, inside: str, faults: list[str]) -> list[os.DirEntry[str]]:
    """What a folder holds and does not hide, by name; nothing and a fault where it cannot be listed."""
    place = os.path.join(root, inside)
    try:
        with os.scandir(place) as entries:
            return sorted((each for each in entries if not each.name.startswith(".")), key=lambda each: each.name)
    except OSError as error:
        faults.append(f"folder {place} cannot be listed ({error.strerror}); make it readable, or take it away")
        return []


def _fault(root: Path, name: str, folder: bool, target: str, seen: dict[str, str], real: str, base: str) -> str:
    """What is wrong with a file or folder of the tree, or ''; `base`: the folder that no link may leave, '' any."""
    if not is_text(name):
        return f"in {root} the name {os.fsencode(name)!r} is not UTF-8, or holds a carriage return; rename it"
    if not folder and not base:
        return ""
    place = root / name
    if folder and _below(real, target):
        return f"{place} is a link to {target}, which it lies in, so there would be no end to it; remove the link"
    if base and not _below(target, base):
        return f"{place} is a link out of the root to {target}; put a copy there, {ALLOW}"
    if folder and target in seen:
        return f"{seen[target]} and {place} are one folder, whose images would count twice; remove the link"
    return ""


def listing(root: Path) -> Callable[[str], Mapping[str, bool]]:
    """What a folder below the root holds, as `named_files` asks: {name: whether it is a folder or links to one}."""

    def held(folder: str) -> Mapping[str, bool]:
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                return {entry.name: entry.is_dir() for entry in entries}
        except (OSError, ValueError):  # no such folder, a file in its place, a name that no folder can have
            return {}

    return held


def links_out(root: Path, paths: Iterable[str]) -> list[str]:
    """Faults of paths below `root` (relative, without `..`) that a link leads out of it, in the file or a folder."""
    base = os.path.realpath(root)
    folders: dict[str, str] = {}
    faults = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:  # a link in each part of a path is costly to look for
            folders[folder] = os.path.realpath(os.path.join(base, folder))
        place = os.path.join(folders[folder], name)
        target = os.path.realpath(place) if os.path.islink(place) else place
        if not _below(target, base):
            faults.append(f"{root / path} is led out of the root by a link, to {target}; put a copy there, {ALLOW}")
    return at_most(faults)


def _below(path: str, folder: str) -> bool:
    """Whether a real path is `folder` or below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def is_text(name: str) -> bool:
    """Whether a name can stand in a table: UTF-8 (other bytes are surrogates in Python), and no carriage return."""
    try:
        return b"\r" not in name.encode()
    except UnicodeEncodeError:
        return False
