"""The images that a user gives to a command by a file, folder, archive or URL."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from contrastive_cxr.data.decoding import grey_levels
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import contents, reading, tree
from contrastive_cxr.data.files.addresses import is_url, join, of_path, parted, split
from contrastive_cxr.data.sources import DICOMDIR
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.recipe import schema
from contrastive_cxr.run import processes

logger = logging.getLogger(__name__)
Frames = str | int | schema.FrameRange | None


def images_of(source: Path, frames: Frames = None, axis: schema.AxisName = "axial") -> list[Path]:
    """The images of a source, sorted: one file, or all below a folder, archive or URL.

    Files that are no images are left out, and a warning counts and names them.

    Parameters
    ----------
    source : Path
        An image, also one picture of a file (`scan.dcm#frame=3`), a folder, a ZIP or tar archive, a DICOMDIR, a URL.
    frames, axis : as `data.frames` and `data.axis` of a recipe
        Which pictures of files with several are taken; None: such files are refused.

    Raises
    ------
    RequestError
        Nothing there, no image in it, links and names that are refused, or volumes whose slices nobody chose.
    """
    return [Path(file) for file in files_of(source, frames, axis)]


def files_of(source: Path, frames: Frames = None, axis: schema.AxisName = "axial") -> list[str]:
    """As `images_of`, as text: 100,000 paths take 20 MiB more."""
    place = of_path(source)
    if parted(place)[1] == DICOMDIR and Path(place).is_file():
        place = parted(place)[0] or "."
    if split(place)[1] is not None:
        return [place]
    root, names, left = _files(place)
    settings = schema.Source.model_construct(frames=frames, axis=axis)  # type: ignore[arg-type]
    names, faults, notes = contents.addresses(root, sorted(names, key=lambda name: name.replace("/", "\0")), settings)
    raise_faults(faults)
    if processes.is_first():
        for note in (*tree.words(place, left), *contents.lost(root, left), *notes):
            logger.warning("data: %s", note)
    if not names:
        raise RequestError(f"{place}: holds no image file; name an image, or a folder or archive of images")
    return names if root == "." else [join(root, name) for name in names]


def warn_of_squeezed(squeezed: Mapping[str, int], images: int) -> None:
    """A warning of files of which the model's way of reading leaves too little; none where there are none."""
    words = grey_levels.as_read(squeezed, images)
    if words and processes.is_first():
        logger.warning("data: %s", words)


def _files(place: str) -> tuple[str, list[str], list[tuple[str, str]]]:
    """The folder, archive or URL that images are below, their names there, and the files that are left out."""
    try:
        single = not reading.is_archive_place(place) and _is_file(place)
    except DecodeError as error:
        raise RequestError(f"{place} {error.reason}") from error
    if single:
        folder, name = parted(place)
        raise_faults([] if tree.is_text(name) else [tree.name_fault(folder, name)])
        return folder, [name], []
    listed = tree.listed(place, outside=True)
    raise_faults(listed.faults)
    files, without = contents.with_pixels(place, listed.files, ())
    return place, files, [*listed.left, *without]


def _is_file(place: str) -> bool:
    """Whether a place is one file; an error where there is nothing."""
    if is_url(place):
        return reading.is_file_behind(place)
    if Path(place).is_file() or reading.in_archive(place)[0]:
        return True
    if Path(place).is_dir():
        return False
    raise RequestError(f"{place}: no such file or folder; name an image, a folder or an archive of images")
