"""What the columns of somebody's table are, and how the table is written."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from contrastive_cxr.recipe.section import Section


def _regular(text: str) -> str:
    """The regular expression itself, where it is one."""
    try:
        re.compile(text)
    except re.error:
        raise ValueError(f"'{text}' is not a regular expression; write one such as 'patient[0-9]+'") from None
    return text


class Part(Section):
    """A part of a column's text: `{column: Path, match: 'patient[0-9]+'}`."""

    column: str = Field(description="the column")
    match: Annotated[str, AfterValidator(_regular)] = Field(
        description="regular expression found in the cell; its first group is the value, without a group all of it"
    )


Role = str | Part | None


class Columns(Section):
    """Which column is what: a column's name, a part of one, or a pattern over columns such as `{folder}/{filename}`
    or `{patient:.2}/{file}`, with the first two characters of the column patient."""

    file: Role = Field(None, description="the image's file, relative to root")
    label: Role = Field(None, description="the label")
    patient: Role = Field(None, description="the patient, whose images stay in one part of the split")
    study: Role = Field(None, description="the study")
    split: Role = Field(None, description="the source's own split: train, val, test or unused")
    source: Role = Field(None, description="where the image is from, such as a hospital")
    prefix: str = Field("", description="beginning that is taken off the files' names, such as CheXpert-v1.0-small/")
    folder: Role = Field(None, description="the folder that a row's file lies in, relative to root")
    folders: dict[str, str] = Field({}, description="values of columns.folder: the folders that they stand for")
    recognise: bool = Field(
        True,
        description="whether columns that are not named here are found by their usual names, such as patientid, and "
        "whole numbers such as 1.0 are read as 1",
    )


class TableForm(Section):
    """How a table is written; what is not said is recognised."""

    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="the character between two cells; none: recognised"
    )
    encoding: Literal["auto", "utf-8", "utf-16", "latin-1", "windows-1252"] = Field(
        "auto", description="how its text is stored; auto: UTF-8, or UTF-16 where the file's first bytes say so"
    )
    header: Literal["auto", "yes", "no"] = Field(
        "auto", description="whether the first line names the columns; auto: not where it names an image"
    )
    sheet: str | None = Field(None, description="the sheet of an Excel file; none: the first")
