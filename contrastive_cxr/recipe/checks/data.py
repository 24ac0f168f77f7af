"""What the settings of a recipe's data have to be to one another; no file is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import contrastive_cxr.recipe.intensity as intensity
from contrastive_cxr.recipe.schema import Data
from contrastive_cxr.recipe.source import Source

OF_TABLES = ("columns", "where", "leave_out", "repeated", "table", "merge", "split_lists")
OF_TABLES_ALONE = ("repeated", "table")
IN_NAMES = ("patient", "study", "label", "split", "source")  # what class folders' names may hold


def faults(data: Data) -> Iterator[str]:
    """One sentence for each setting of `data` that does not fit the others."""
    if data.join:
        if data.root is not None or data.csv is not None:
            yield "`data.root` and `data.csv` are not used where data.join is given; take them out"
        used = _of_tables(data)
        if used:
            yield (
                f"`data.{used[0]}` is of a table, and data.join has one a source; set data.join.0.{used[0]} and so on"
            )
        if data.outside:
            yield "`data.outside` is not used where data.join is given; set data.join.0.outside and so on"
        for number, source in enumerate(data.join):
            yield from _source(source, f"data.join.{number}")
    else:
        yield from _source(data, "data")
    yield from intensity.faults(data.intensity)


def _source(source: Source, place: str) -> Iterator[str]:
    if source.source != "phantom" and source.root is None:
        yield f"`{place}.root` is not set; say where the images are with {place}.root=DIR"
    if source.source == "csv" and source.csv is None:
        yield f"`{place}.csv` is not set; name the table of rows with {place}.csv=FILE, relative to {place}.root"
    if source.source != "csv" and source.csv is not None:
        yield (f"`{place}.csv` is read only where {place}.source is csv, not {source.source}; set it or leave this out")

    yield from _columns(source, place)


def _of_tables(source: Source) -> list[str]:
    """The settings of a table that are not left as they are."""
    return [name for name in OF_TABLES if getattr(source, name) != getattr(Source(), name)]


def _columns(source: Source, place: str) -> Iterator[str]:
    """Settings of a table where there is none, two splits, and folders without the column that they are values of."""
    given = [name for name in _of_tables(source) if source.source != "folders" or name in OF_TABLES_ALONE]
    if source.source != "csv" and given:
        yield (
            f"`{place}.{given[0]}` is of a table, and {place}.source is {source.source}; set {place}.source=csv and "
            f"{place}.csv=FILE, or leave it out"
        )
    columns = [] if source.source != "folders" else [
        name for name in type(source.columns).model_fields
        if name not in (*IN_NAMES, "recognise") and getattr(source.columns, name) != getattr(Source().columns, name)
    ]  # fmt: skip
    if columns:
        yield (
            f"`{place}.columns.{columns[0]}` is of a table, and {place}.source is folders, where columns are "
            f"{', '.join(IN_NAMES)}; leave it out"
        )
    says = {
        "split_lists": source.split_lists,
        "columns.split": source.columns.split,
        "csv": isinstance(source.csv, dict),
    }
    split = [f"{place}.{name}" for name, said in says.items() if said]
    if len(split) > 1:
        yield f"`{split[0]}` and {' and '.join(split[1:])} each say the split; leave one of them alone"
    if source.columns.folders and source.columns.folder is None:
        yield (
            f"`{place}.columns.folders` says what values of a column stand for, and {place}.columns.folder names no "
            "column; set it too"
        )
