"""Tables that lie in an archive or behind a URL, beside the images that they name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading, remote
from contrastive_cxr.data.files.addresses import is_url, join
from contrastive_cxr.data.tables import table_files
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import write_bytes

ENDINGS = tuple(ending for ending in table_files.ENDINGS if ".txt" not in ending)
"""Tables by their names: a text may be anything."""


def names(root: str) -> list[str]:
    """Tables of the outermost folder that has one, sorted; none where the root cannot be listed."""
    try:
        paths = reading.members(root) if reading.is_archive_place(root) else remote.listed(root)
    except DecodeError:
        return []  # who reads the images says why
    tables = [path for path in paths if path.lower().endswith(ENDINGS) and not path.rpartition("/")[2].startswith(".")]
    outermost = min((path.count("/") for path in tables), default=0)
    return sorted(path for path in tables if path.count("/") == outermost)


def kept(root: str, name: str, cache_dir: Path | None, setting: str = "data.csv") -> Path:
    """A table below an archive or URL as a file of this disk, in the cache folder.

    Raises
    ------
    RequestError
        It cannot be read.
    """
    place = join(root, name)
    try:
        table = reading.content(place)
    except DecodeError as error:
        there = names(root) if is_url(root) or os.path.exists(root) else []
        has = f", such as {', '.join(there[:3])}" if there else ""
        raise RequestError(
            f"table {place} {error.reason}; set {setting} to a table in it{has}, or to an absolute path"
        ) from error
    file = cache_folder(cache_dir) / "tables" / hashlib.sha256(table).hexdigest()[:20] / Path(name).name
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, table)
    return file
