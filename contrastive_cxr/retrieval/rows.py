"""The rows and vectors of a gallery, checked, and which rows a search may find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from contrastive_cxr.errors import RequestError, nearest, raise_faults

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
Where = Mapping[str, str | Sequence[str]]
COLUMNS = ("label", "patient", "path", "split")
_LENGTH_TOLERANCE = 1e-3
_LISTED = 12


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with all our columns, ids as int64 and the rest as text.

    Raises
    ------
    RequestError
        No rows, or ids that are no whole numbers, repeat, or are negative.
    """
    if not len(rows):
        raise RequestError("a gallery of no rows; give at least one")
    text = rows.reset_index(drop=True).fillna("").astype(str) if len(rows.columns) else rows.reset_index(drop=True)
    for name in COLUMNS:
        if name not in text:
            text[name] = ""
    try:
        ids = np.arange(len(rows)) if "id" not in rows else rows["id"].astype("int64").to_numpy()
    except (ValueError, TypeError, OverflowError) as error:
        raise RequestError(f"the rows' column id holds no whole numbers ({error})") from error
    if len(np.unique(ids)) != len(ids) or ids.min() < 0:
        raise RequestError("the rows' ids repeat or are negative; give each row a number of its own, from 0")
    others = [name for name in text.columns if name not in ("id", *COLUMNS)]
    return text.assign(id=ids)[["id", *COLUMNS, *others]]


def unit_vectors(vectors: npt.ArrayLike, what: str) -> Vectors:
    """The vectors as float32 [N, D], checked to be finite and of unit length.

    Raises
    ------
    RequestError
        Another shape or type, NaN or infinity, or another length; the first such row is named.
    """
    array = np.asarray(vectors)
    if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        raise RequestError(f"{what} are {array.dtype} {list(array.shape)}; give floats [N, D]")
    checked = np.ascontiguousarray(array, dtype=np.float32)
    for first in range(0, len(checked), 100_000):  # masks of a million rows at once would double the memory
        part = checked[first : first + 100_000]
        lengths = np.sqrt(np.einsum("nd,nd->n", part, part))  # not finite where a number is not
        if not np.isfinite(lengths).all():
            raise RequestError(f"{what} hold NaN or infinity in row {first + int(np.argmin(np.isfinite(lengths)))}")
        wrong = np.flatnonzero(np.abs(lengths - 1) > _LENGTH_TOLERANCE)
        if len(wrong):
            raise RequestError(
                f"{what}: row {first + wrong[0]} has length {lengths[wrong[0]]:.4g}, expected 1; divide by the length"
            )
    return checked


def matching(rows: pd.DataFrame, where: Where) -> npt.NDArray[np.bool_]:
    """Which rows have one of the wanted values in every named column, bool [M].

    Raises
    ------
    RequestError
        With every column that is not there and every value that no row has; or where no row fits all of them.
    """
    faults = []
    allowed = np.ones(len(rows), dtype=bool)
    for column, wanted in where.items():
        if column not in rows:
            others = ", ".join(map(str, rows.columns))
            faults.append(f"where {column}: no such column{nearest(column, rows.columns)}; the gallery has {others}")
            continue
        values = [wanted] if isinstance(wanted, str) else [str(value) for value in wanted]
        texts = rows[column].astype(str)
        known = texts.unique().tolist()
        for value in values:
            if value not in known:
                listed = ", ".join(repr(each) for each in sorted(known)[:_LISTED])
                more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
                faults.append(f"where {column}={value}: no row has it{nearest(value, known)}; there are {listed}{more}")
        allowed &= texts.isin(values).to_numpy()
    raise_faults(faults)
    if not allowed.any():
        raise RequestError(f"where {dict(where)}: no row of the gallery fits all of it; ask for less")
    return allowed


def places(rows: pd.DataFrame) -> list[str]:
    """Root and path of each row as one, '' where it has no path."""
    roots = rows["root"] if "root" in rows else [""] * len(rows)
    return [str(Path(root) / path) if path else "" for root, path in zip(roots, rows["path"], strict=True)]
