"""What one folder holds, be it on this disk, in an archive or behind a URL, as `named_files` asks for it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Mapping

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading, remote
from contrastive_cxr.data.files.addresses import is_url, join

Held = Mapping[str, bool]
"""Names in a folder, and whether each is a folder or links to one."""


def listing(root: str) -> Callable[[str], Held]:
    """What the folders below `root` hold, by their path there with `/`; nothing where there is no such folder.

    An archive below the root is a folder where it is asked for as one, though its own name counts as a file's.
    """
    archives: dict[str, Mapping[str, Held]] = {}

    def held(folder: str) -> Held:
        place = join(root, folder)
        try:
            if not is_url(place) and os.path.isdir(place):
                with os.scandir(place) as entries:
                    return {entry.name: entry.is_dir() for entry in entries}
            archive, inside = (place, "") if reading.is_archive_place(place) else reading.in_archive(place)
            if archive:
                if archive not in archives:
                    archives[archive] = folders_of(reading.members(archive))
                return archives[archive].get(inside, {})
            return remote.held(place) if is_url(place) else {}
        except (OSError, ValueError, DecodeError):  # closed, a name that no folder can have, a damaged archive
            return {}

    return held


def folders_of(paths: Iterable[str]) -> dict[str, dict[str, bool]]:
    """What each folder of a tree holds, of which only the files are known.

    Examples
    --------
    >>> folders_of(["a/1.png", "2.png"])
    {'': {'a': True, '2.png': False}, 'a': {'1.png': False}}
    """
    found: dict[str, dict[str, bool]] = {"": {}}
    for path in paths:
        is_folder = False
        while path:
            folder, name = posixpath.split(path)
            found.setdefault(folder, {})[name] = is_folder
            path, is_folder = folder, True
    return found
