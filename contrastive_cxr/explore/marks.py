"""Marks and notes of a reader as a table that `ccxr data look` and every `data.root` take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from contrastive_cxr.data.files.addresses import absolute
from contrastive_cxr.errors import RequestError, raise_faults

MOST = 100_000
COLUMNS = ("file", "label", "patient", "split", "label_before", "mark", "note")


class Mark(BaseModel):
    """What a reader said of one case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: int = Field(ge=0, description="row of the gallery, from 0")
    label: Annotated[str, Field(max_length=255)] = Field("", description="the label that is right; empty: as it was")
    note: Annotated[str, Field(max_length=4000)] = Field("", description="in words")


class Marks(BaseModel):
    """All marks of a page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    marks: list[Mark] = Field(max_length=MOST)


def table(rows: pd.DataFrame, files: Sequence[str], marks: Sequence[Mark]) -> pd.DataFrame:
    """A row a marked case, in the gallery's order.

    Parameters
    ----------
    rows : DataFrame
        Of the gallery.
    files : sequence of str
        Where its images are.
    marks : sequence of Mark
        One a case.

    Returns
    -------
    DataFrame
        `file` (absolute), `label` (the new one, else the old one), `patient`, `split`, `label_before`, `mark`
        (`relabelled` or `marked`), `note` in one line. Text columns that are empty everywhere, but for the note, are
        left out: a reader of tables takes an empty column for a column.

    Raises
    ------
    RequestError
        No mark; a row that the gallery has not, or twice; a case whose file is not known.
    """
    if not marks:
        raise RequestError("nothing is marked; mark a case first")
    numbers = [mark.row for mark in marks]
    faults = [f"row {row}: the gallery has {len(rows)} rows, from 0" for row in numbers if row >= len(rows)]
    faults += [f"row {row}: is marked twice" for row in sorted(set(numbers)) if numbers.count(row) > 1][:9]
    faults += [f"row {row}: the gallery does not say where its image is" for row in numbers if not _file(files, row)]
    raise_faults(faults)
    found = pd.DataFrame([_line(rows, files, mark) for mark in sorted(marks, key=lambda mark: mark.row)])
    empty = [name for name in ("patient", "split") if (found[name] == "").all()]
    return found.drop(columns=empty)


def csv(rows: pd.DataFrame, files: Sequence[str], marks: Sequence[Mark]) -> bytes:
    """`table` as CSV, UTF-8."""
    return table(rows, files, marks).to_csv(index=False, lineterminator="\n").encode("utf-8")


def _line(rows: pd.DataFrame, files: Sequence[str], mark: Mark) -> dict[str, Any]:
    case = rows.iloc[mark.row]
    label = mark.label.strip() or case["label"]
    changed = "relabelled" if label != case["label"] else "marked"
    values = (
        absolute(files[mark.row]), label, case["patient"], case["split"], case["label"], changed,
        " ".join(mark.note.split()),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _file(files: Sequence[str], row: int) -> str:
    return files[row] if row < len(files) else "said already"
