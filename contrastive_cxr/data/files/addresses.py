"""Where an image is, as text: a file below a folder, archive or URL, and which picture in that file.

    covid/1.png                a file
    scan.dcm#frame=3           a frame of a file that holds several
    ct.nii.gz#axial=40         a slice of a volume
    images.zip/covid/1.png     a member of an archive, which counts as a folder
    s3://bucket/covid/1.png    a file behind a URL that fsspec knows

Frames and slices are counted from 0, slices in the direction of the body's axes (see `volumes`). Such an address stands
in manifests, caches, galleries and tables of predictions, and each of them can be given to a command again.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import NamedTuple

FRAME = "frame"
AXES = ("axial", "coronal", "sagittal")
_INSIDE = re.compile(rf"#({'|'.join((FRAME, *AXES))})=(\d{{1,9}})$")
_FLAT = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Inside(NamedTuple):
    """Which picture of a file: `way` is `frame` or an axis, `number` counts from 0."""

    way: str
    number: int

    def __str__(self) -> str:
        return f"#{self.way}={self.number}"


def split(address: str) -> tuple[str, Inside | None]:
    """The file of an address, and which picture in it; None where the file is the picture.

    Examples
    --------
    >>> split("a/scan.dcm#frame=3")
    ('a/scan.dcm', Inside(way='frame', number=3))
    >>> split("a/scan#3.dcm")
    ('a/scan#3.dcm', None)
    """
    found = _INSIDE.search(address) if "#" in address else None
    if found is None:
        return address, None
    return address[: found.start()], Inside(found[1], int(found[2]))


def is_url(text: str) -> bool:
    """Whether a text is an address such as `s3://bucket/folder`; a path of one's own disk is none."""
    return "://" in text and _URL.match(text) is not None


def of_path(place: Path | str) -> str:
    """A place as text; of a URL that became a `Path`, and lost one of its two slashes there, both.

    Examples
    --------
    >>> of_path(Path("s3://bucket/x.png")), of_path(Path("a/x.png"))
    ('s3://bucket/x.png', 'a/x.png')
    """
    text = str(place)
    return _FLAT.sub(r"\1://", text, count=1) if isinstance(place, Path) else text


def join(root: str, path: str) -> str:
    """The address of `path` below `root`, which is a folder, an archive or a URL; '' for either adds nothing."""
    if not path or not root:
        return root or path
    return f"{root.rstrip('/')}/{path}" if is_url(root) else os.path.join(root, path)


def absolute(place: str) -> str:
    """A place that means the same in every working folder: links resolved, a URL as it is."""
    if is_url(place):
        return place
    file, inside = split(place)
    return f"{Path(file).resolve()}{inside or ''}"


def parted(place: str) -> tuple[str, str]:
    """The folder (archive, URL) of a place, and its name there."""
    if is_url(place):
        folder, _, name = place.rpartition("/")
        return folder, name
    return posixpath.split(place)
