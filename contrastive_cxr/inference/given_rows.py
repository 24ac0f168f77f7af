"""The images that a user gives by files, folders, archives, URLs and tables of them, with what is known of each."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from contrastive_cxr.data import sources as data_sources
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import is_url, join, of_path
from contrastive_cxr.data.tables import inner_tables
from contrastive_cxr.datasets.look import settings
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.inference.given_images import Frames, files_of
from contrastive_cxr.recipe.schema import AxisName, FrameRange
from contrastive_cxr.run import processes

logger = logging.getLogger(__name__)
Sources = str | Path | Sequence[str | Path]
KNOWN = ("label", "patient", "split")
"""What a layout may tell of an image, besides its file."""


def given(sources: Sources, frames: Frames = None, axis: AxisName = "axial") -> list[Path]:
    """The images of all sources, in the order of the sources.

    Parameters
    ----------
    sources : path, or sequence of these
        Images, folders, archives and URLs (`images_of`), and tables that name images (docs/reference/tables.md).
    frames, axis : as in `given_images.images_of`

    Raises
    ------
    RequestError
        With the faults of all sources.
    """
    return [Path(name) for name in _rows(sources, frames, axis, labels=False)["file"]]


def given_rows(sources: Sources, frames: Frames = None, axis: AxisName = "axial") -> pd.DataFrame:
    """As `given`, with what the layout of a source tells of its images.

    Returns
    -------
    DataFrame
        `file`, and those of `label`, `patient`, `split` that are known of an image at least; '' where one is unknown.
        A table tells them; so do class folders and a table inside a folder or archive.
    """
    rows = _rows(sources, frames, axis, labels=True)
    return rows[["file", *(name for name in KNOWN if (rows[name] != "").any())]]


def is_table(source: str | Path) -> bool:
    """Whether a source is a table (CSV, TSV, Parquet, Excel) of images, by its name."""
    place = of_path(source)
    if not place.lower().endswith(inner_tables.ENDINGS):
        return False
    return not reading.is_archive_place(place) if is_url(place) else Path(place).is_file()


def layout_of(source: str, frames: Frames, axis: AxisName, quiet: bool = False) -> pd.DataFrame:
    """The rows of a table, or of a folder, archive or URL with a layout; what it leaves out is told as a warning.

    Returns
    -------
    DataFrame
        `root`, `path`, `label`, `patient`, `split` and what else a table has.

    Raises
    ------
    RequestError
        There is no layout that is known, or its rows are wrong.
    """
    chosen = frames.model_dump() if isinstance(frames, FrameRange) else frames
    words = [f"data.frames={json.dumps(chosen)}", f"data.axis={axis}"]
    if is_table(source):
        words.append("data.outside=true")  # whoever names a table means the files that it names, wherever they lie
    found, faults = data_sources.rows_of(settings([source if is_url(source) else Path(source)], words, None))
    raise_faults(faults)
    for note in () if quiet else found.notes:
        logger.warning("data: %s", note)
    return found.rows


def _rows(sources: Sources, frames: Frames, axis: AxisName, labels: bool) -> pd.DataFrame:
    """`file`, `label`, `patient`, `split` of all sources; every fault at once."""
    places = [sources] if isinstance(sources, str | Path) else list(sources)
    if not places:
        raise RequestError("no image is given; name images, folders, archives or tables of images")
    parts: list[pd.DataFrame] = []
    faults: list[str] = []
    for place in places:
        try:
            parts.append(_of_table(place, frames, axis) if is_table(place) else _of(place, frames, axis, labels))
        except RequestError as error:
            faults += error.faults
    raise_faults(faults)
    return pd.concat(parts, ignore_index=True)


def _of_table(place: str | Path, frames: Frames, axis: AxisName) -> pd.DataFrame:
    """The rows of a table, in its own reading order."""
    rows = layout_of(of_path(place), frames, axis, quiet=not processes.is_first())
    files = [join(root, path) for root, path in zip(rows["root"], rows["path"], strict=True)]
    return _as_text(rows).drop(columns="name").assign(file=files)


def _of(place: str | Path, frames: Frames, axis: AxisName, labels: bool) -> pd.DataFrame:
    """All images of a file, folder, archive or URL; with `labels` what a layout in it tells of them."""
    root = of_path(place)
    files = files_of(Path(place), frames, axis)
    known = pd.DataFrame()
    if labels and not is_url(root) and (Path(place).is_dir() or reading.is_archive_place(root)):
        with suppress(RequestError):  # a folder without a layout: nothing is known of its images but their files
            known = _as_text(layout_of(root, frames, axis, quiet=True))
    if known.empty:
        return pd.DataFrame({"file": files, **dict.fromkeys(KNOWN, "")})
    row_of = dict(zip(reversed(known["name"]), reversed(range(len(known))), strict=True))  # of two rows the first
    rows = [row_of.get(os.path.relpath(file, root), -1) for file in files]  # layouts have absolute roots
    told = {name: known[name].tolist() for name in KNOWN}
    return pd.DataFrame(
        {"file": files, **{name: [of[row] if row >= 0 else "" for row in rows] for name, of in told.items()}}
    )


def _as_text(rows: pd.DataFrame) -> pd.DataFrame:
    """`name` (the path below the root), `label`, `patient`, `split` of a layout's rows."""
    names = [os.path.normpath(path) for path in rows["path"]]
    return pd.DataFrame({"name": names, **{name: rows[name].fillna("").astype(str).tolist() for name in KNOWN}})
