"""The map as a Parquet that embedding-atlas opens: places, nearest cases, small pictures and all columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from contrastive_cxr import terminal
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.explore.answers import Explorer
from contrastive_cxr.run import parquet

_NEAREST = 15


def write(path: Path, explorer: Explorer) -> int:
    """Write the table, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    int
        Images that could not be read, whose picture is left out.
    """
    cases, near = explorer.cases.drop(columns="root", errors="ignore"), explorer.found.near
    pictures = [_picture(explorer, row) for row in range(len(cases))]
    columns: dict[str, list[Any]] = {str(name): cases[name].tolist() for name in cases}
    columns |= {name: explorer.found.places[:, axis].tolist() for axis, name in enumerate("xy")}
    kept = [rows >= 0 for rows in near.rows[:, :_NEAREST]]
    columns["neighbors"] = [
        {"ids": rows[have].tolist(), "distances": np.asarray(gaps[have], np.float64).round(6).tolist()}
        for rows, gaps, have in zip(near.rows[:, :_NEAREST], near.gaps[:, :_NEAREST], kept, strict=True)
    ]
    columns["image"] = [None if each is None else {"bytes": each, "path": None} for each in pictures]
    parquet.write_columns(path, columns)
    return sum(each is None for each in pictures)


def _picture(explorer: Explorer, row: int) -> bytes | None:
    terminal.share(row, len(explorer.cases))
    try:
        return explorer.pictures.small(row)
    except DecodeError:
        return None
