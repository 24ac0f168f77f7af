"""The image files below a folder, archive or URL, what else lies there, and the names and links that lead out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading, remote
from contrastive_cxr.data.files.addresses import is_url, join, split
from contrastive_cxr.data.files.kinds import HEAD, PICTURES, VOLUMES, kind_of
from contrastive_cxr.data.tables.text_tables import at_most

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
"""Files with these are images without being looked into: what they hold is seen when they are decoded."""
ALLOW = "or allow it with data.outside=true"
# What systems and their archives leave among images, in any case of letters; hidden names are passed over like these.
JUNK = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"))
SHOWN = 3  # names of a kind that a sentence shows


class Listed(NamedTuple):
    """A tree.

    Attributes
    ----------
    files : list of str
        Image files, relative to the root with `/`, sorted.
    faults : list of str
        Links, names and folders that are refused.
    left : list of (str, str)
        Files that are no image that can be read: path and kind, `''` where it is none that is known.
    """

    files: list[str]
    faults: list[str]
    left: list[tuple[str, str]]


def listed(root: str, outside: bool, by_content: bool = True) -> Listed:
    """The image files below `root`: a folder, an archive or a URL; all else that is not hidden or junk is `left`.

    A file with one of `IMAGE_ENDINGS` is an image; others are where their first bytes say so, and volumes (NIfTI,
    NRRD). Links to files and folders are followed; those that lead out of the root where `outside` allows it. No folder
    is read twice, so links make neither a loop nor copies. Names that are not UTF-8 can stand in no table: faults.

    Parameters
    ----------
    by_content : bool
        Whether files without such an ending are looked into; else they are neither images nor `left`, as in recipes
        that an earlier version recorded.
    """
    try:
        if is_url(root) and not reading.is_archive_place(root):
            return _of_names(root, remote.listed(root), by_content)
        if reading.is_archive_place(root):
            return _of_names(root, reading.members(root), by_content)
    except DecodeError as error:
        return Listed([], [f"{root} {error.reason}"], [])
    return _of_folder(Path(root), outside, by_content)


def image_files(root: Path, outside: bool) -> tuple[list[str], list[str]]:
    """The files of `listed`, and its faults."""
    return listed(str(root), outside)[:2]


def _of_names(root: str, names: Iterable[str], by_content: bool) -> Listed:
    """The tree of an archive or URL, whose files are known by their paths."""
    found = Listed([], [], [])
    for name in names:
        if not any(_is_hidden(part) for part in name.split("/")):
            _sort(found, root, name, by_content)
    return Listed(sorted(found.files), at_most(found.faults), sorted(found.left))


def _of_folder(root: Path, outside: bool, by_content: bool) -> Listed:
    """The tree of a folder of this disk."""
    found = Listed([], [], [])
    base = os.path.realpath(root)
    seen, waiting = {base: str(root)}, [("", base)]
    while waiting:
        inside, real = waiting.pop()
        folders = []
        for entry in _entries(root, inside, found.faults):
            name = f"{inside}/{entry.name}" if inside else entry.name
            linked = entry.is_symlink()
            target = os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
            folder = os.path.isdir(target) if linked else entry.is_dir()
            if not folder and not _may_be_image(str(root), name, entry, by_content, found):
                continue
            fault = _fault(root, name, folder, target, seen, real, base if linked and not outside else "")
            if fault:
                found.faults.append(fault)
            elif folder:
                seen[target] = str(root / name)
                folders.append((name, target))
            else:
                found.files.append(name)
        waiting += reversed(folders)
    return Listed(sorted(found.files), at_most(found.faults), sorted(found.left))


def _may_be_image(root: str, name: str, entry: os.DirEntry[str], by_content: bool, found: Listed) -> bool:
    """Whether a file is an image, by its ending or its first bytes; where it is none, it is put to those left."""
    if name.lower().endswith(IMAGE_ENDINGS):
        return True
    if not by_content:
        return False
    kind = _kind(join(root, name)) if entry.is_file() else ""  # a pipe is not waited for
    if kind not in PICTURES | VOLUMES and is_text(name):
        found.left.append((name, kind))
    return kind in PICTURES | VOLUMES


def _sort(found: Listed, root: str, name: str, by_content: bool) -> None:
    """Put a file of an archive or URL to the images, the faults or those left."""
    kind = "an image" if name.lower().endswith(IMAGE_ENDINGS) else _kind(join(root, name)) if by_content else ""
    if not is_text(name) or split(name)[1] is not None:
        found.faults.append(name_fault(root, name))
    elif kind == "an image" or kind in PICTURES | VOLUMES:
        found.files.append(name)
    elif by_content:
        found.left.append((name, kind))


def _kind(file: str) -> str:
    """The kind of a file by its first bytes; '' also where they cannot be read."""
    try:
        return kind_of(reading.content(file, HEAD))
    except DecodeError:
        return ""


def words(root: str, left: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence for each kind of file that is left out, with the first names.

    Examples
    --------
    >>> words("data", [("a/notes.txt", ""), ("b.pdf", "PDF")])
    ['1 file of data is no image that is known by its content, and is left out (a/notes.txt)', \
'1 PDF file of data is left out (b.pdf)']
    """
    kinds: dict[str, list[str]] = {}
    for name, kind in left:
        kinds.setdefault(kind, []).append(name)
    return [_sentence(root, kind, names) for kind, names in sorted(kinds.items())]


def _sentence(root: str, kind: str, names: list[str]) -> str:
    files = f"{len(names):,} {kind}{' ' * bool(kind)}file{'s' * (len(names) > 1)} of {root}"
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    many = len(names) > 1
    if kind:
        return f"{files} {'are' if many else 'is'} left out ({shown})"
    known = (
        "are no images that are known by their content, and are"
        if many
        else ("is no image that is known by its content, and is")
    )
    return f"{files} {known} left out ({shown})"


def _is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over without a word."""
    return name.startswith(".") or name.lower() in JUNK


def _entries(root: Path, inside: str, faults: list[str]) -> list[os.DirEntry[str]]:
    """What a folder holds and does not hide, by name; nothing and a fault where it cannot be listed."""
    place = os.path.join(root, inside)
    try:
        with os.scandir(place) as entries:
            return sorted((each for each in entries if not _is_hidden(each.name)), key=lambda each: each.name)
    except OSError as error:
        faults.append(f"folder {place} cannot be listed ({error.strerror}); make it readable, or take it away")
        return []


def _fault(root: Path, name: str, folder: bool, target: str, seen: dict[str, str], real: str, base: str) -> str:
    """What is wrong with a file or folder of the tree, or ''; `base`: the folder that no link may leave, '' any."""
    if not is_text(name) or (not folder and split(name)[1] is not None):
        return name_fault(str(root), name)
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


def name_fault(root: str, name: str) -> str:
    """Why a name cannot stand in a table of images."""
    if is_text(name):
        return f"in {root} the name '{name}' ends as the address of a picture inside a file does; rename it"
    return f"in {root} the name {os.fsencode(name)!r} is not UTF-8, or holds a carriage return; rename it"


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
