"""Which rows of a table are read: by the values of columns, by their labels, one of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from contrastive_cxr.data.tables import columns
from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.recipe.source import Cell, Source

SHOWN = 5


def text(value: Cell) -> str:
    """A value of a recipe as a table writes it: true, 1, 0.5."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def where(
    table: pd.DataFrame, chosen: Mapping[str, Cell | Sequence[Cell]], place: str, faults: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The rows that `data.where` chooses, and how many each column left; unknown columns and values go to `faults`."""
    kept, notes = table, []
    for column, given in chosen.items():
        if column not in table:
            faults.append(
                f"data.where: {place} has no column '{column}'{nearest(column, map(str, table))}; it has {list(table)}"
            )
            continue
        wanted = [text(value) for value in (given if isinstance(given, tuple) else (given,))]
        cells = kept[column].str.strip()
        words = cells.where(~cells.str.lower().isin(["true", "false"]), cells.str.lower())
        good = cells.isin(wanted) | words.isin(wanted) | columns.plain_numbers(cells).isin(wanted)
        if not good.any() and len(kept):
            there = [str(each) for each in cells.value_counts().index[:SHOWN]]
            faults.append(
                f"data.where: no row of {place} has {column} {' or '.join(repr(each) for each in wanted)}; the most "
                f"frequent values are {there}{nearest(wanted[0], there) if wanted else ''}"
            )
        notes.append(
            f"{place}: {good.sum():,} of {len(kept):,} rows have {column} {' or '.join(wanted)} (data.where); the "
            "others are left out"
        )
        kept = kept[good]
    return kept, notes


def left_out(rows: pd.DataFrame, source: Source, place: str) -> tuple[pd.DataFrame, list[str]]:
    """The rows without the labels of `data.leave_out`, and how many of each were left out.

    Raises
    ------
    RequestError
        No row is left.
    """
    labels = [text(value) for value in source.leave_out]
    gone = rows["label"].isin(labels)
    if gone.all():
        raise RequestError(
            f"{place}: every one of the {len(rows)} rows has a label of data.leave_out {labels}, so "
            "none is left; take a label out of it"
        )
    counted = {label: int((rows["label"] == label).sum()) for label in labels}
    notes = [
        f"{place}: {number:,} rows {f'with the label {label!r}' if label else 'without a label'} are left out "
        f"(data.leave_out){'' if number else nearest(label, set(rows['label']))}"
        for label, number in counted.items()
    ]
    return rows[~gone], notes


def one_each(rows: pd.DataFrame, source: Source, place: str) -> tuple[pd.DataFrame, list[str]]:
    """One row an image, the different values of its rows joined by `|`, where `data.repeated` asks for it."""
    if source.repeated != "join" or not rows["path"].duplicated().any():
        return rows, []
    again = rows["path"].duplicated(keep=False)
    groups = rows[again].groupby("path", sort=False)
    several = groups.agg(_together).reset_index()
    several.index = rows.index[again & ~rows["path"].duplicated()]
    joined = pd.concat([rows[~again], several])[list(rows)].sort_index()
    return joined, [
        f"{place}: {int(again.sum()):,} rows of {len(several):,} images are joined into one an image (data.repeated)"
    ]


def _together(cells: pd.Series[str]) -> str:
    """The different values of some cells, in their order, joined by `|`."""
    return "|".join(dict.fromkeys(cells))
