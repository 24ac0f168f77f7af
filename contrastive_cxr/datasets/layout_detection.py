"""What layout a folder, archive, URL or table has that a user gives without saying it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from contrastive_cxr.data import sources
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import parted
from contrastive_cxr.data.files.archives import is_archive
from contrastive_cxr.data.tables import columns, inner_tables, table_files
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema
from contrastive_cxr.recipe.columns import TableForm


def recognise(place: Path | str, overrides: Sequence[str] = ()) -> dict[str, str]:
    """The layout of a folder, archive, URL or table, as `source`, `root` and `csv` of a data section.

    The COVID-CT lists are looked for first, then a table with columns of files and labels; class folders are what is
    left, and `layouts.folders` says where there are none. Where `overrides` name a table, it is read; where they say
    what a table's columns are, the only table is meant, whatever it is called.

    Raises
    ------
    RequestError
        Several tables may be meant.
    """
    said = any(word.startswith("data.columns") for word in overrides)
    archive = is_archive(str(place)) and not str(place).lower().endswith(inner_tables.ENDINGS)  # Excel is a ZIP too
    if any(word.startswith("data.csv=") for word in overrides) and (archive or not Path(place).is_file()):
        return {"source": "csv", "root": str(place)}
    if isinstance(place, str):
        return _of_url(place, said)
    if place.name == sources.DICOMDIR:
        return {"source": "folders", "root": str(place)}
    if archive:
        return _of_names(str(place), said)
    if place.is_file():
        moved = any(word.startswith("data.root=") for word in overrides)
        return {"source": "csv", "root": str(place.parent), "csv": str(place.resolve()) if moved else place.name}
    if any(place.glob("Data-split/*/*CT_*COVID.txt")):
        return {"source": "covid-ct", "root": str(place)}
    files = sorted(path for path in place.iterdir() if path.name.lower().endswith(inner_tables.ENDINGS))
    return _chosen(str(place), {path.name: path for path in files}, said)


def _of_url(url: str, said: bool) -> dict[str, str]:
    """The layout behind a URL: of a table itself, of an archive, of what it lists."""
    if url.lower().endswith(inner_tables.ENDINGS) and not reading.is_archive_place(url):
        folder, name = parted(url)
        return {"source": "csv", "root": folder, "csv": name}
    return _of_names(url, said)


def _of_names(root: str, said: bool) -> dict[str, str]:
    """The layout of an archive or URL: its outermost table of images, else class folders."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: inner_tables.kept(root, name, Path(folder)) for name in inner_tables.names(root)}
        return _chosen(root, files, said)


def _chosen(root: str, files: dict[str, Path], said: bool) -> dict[str, str]:
    """The one table of images among some, by their names below `root`; class folders where there is none."""
    tables = list(files) if said and len(files) == 1 else [name for name, path in files.items() if _is_table(path)]
    named = [name for name in tables if name.rpartition("/")[2] == "labels.csv"] or tables
    if len(named) > 1:
        raise RequestError(
            f"{root} has {len(named)} tables of images ({', '.join(named)}); give the one that is meant: instead of "
            "the folder, or with data.source=csv data.csv=TABLE"
        )
    if named:
        return {"source": "csv", "root": root, "csv": named[0]}
    return {"source": "folders", "root": root}


def tables_beside(data: schema.Data) -> list[str]:
    """A sentence for each table in a root of class folders that names files and is not read, as one of findings."""
    found = []
    for source in data.join or (data,):
        root = source.root
        if source.source != "folders" or source.merge or not isinstance(root, Path) or not root.is_dir():
            continue
        tables = sorted(path for path in root.iterdir() if path.name.lower().endswith(inner_tables.ENDINGS))
        found += [
            f"{path.name} names files and has no column that is known as the label, so the folders are read and not "
            f"it; to read the table, look at {path}"
            for path in tables
            if _has(path, columns.names_files)
        ]
    return found


def _is_table(path: Path) -> bool:
    """Whether a table has a column of files and one of labels, by their usual names."""
    return _has(path, columns.is_of_images)


def _has(path: Path, what: Callable[[pd.DataFrame], bool]) -> bool:
    """Whether `what` is true of the table in a file; False where it is none."""
    try:
        return what(table_files.open_table(path, TableForm()).rows)
    except RequestError:
        return False
