"""Where the rows of images come from: one source of a recipe's data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from contrastive_cxr.recipe.augmentation import MAPPING, NUMBER, PATH, URL, WORD
from contrastive_cxr.recipe.columns import Columns, TableForm
from contrastive_cxr.recipe.section import Section

Count = Annotated[int, Field(ge=1)]
PartName = Literal["train", "val", "test", "unused"]
# A value of a column, as YAML reads it; it is compared as text.
Cell = str | int | float | bool
# A shell leaves the ~ of data.root=~/images alone.
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _root_form(value: object) -> str:
    return URL if isinstance(value, str) and _URL.match(value) else PATH


Root = Annotated[Annotated[UserPath, Tag(PATH)] | Annotated[str, Tag(URL)], Discriminator(_root_form)]


def _csv_form(value: object) -> str:
    return MAPPING if isinstance(value, dict) else PATH


Tables = Annotated[
    Annotated[UserPath, Tag(PATH)] | Annotated[dict[PartName, UserPath], Field(min_length=1), Tag(MAPPING)],
    Discriminator(_csv_form),
]


def _pairs(value: object) -> object:
    """A column, or a list of them, as a mapping of each to itself; what is neither is left to be refused."""
    if isinstance(value, str):
        return {value: value}
    return {each: each for each in value} if isinstance(value, list | tuple) else value


class Merge(Section):
    """A table whose columns are added to the rows: `{csv: split.csv, on: [dicom_id]}`."""

    csv: UserPath = Field(description="the table, relative to root")
    on: Annotated[dict[str, str], BeforeValidator(_pairs), Field(min_length=1)] = Field(
        description="columns by which a row finds its row of the table: those that both have, [dicom_id], or "
        "{PatientID: subject} where the table has another name; patient, study and so on as data.columns says them"
    )
    columns: tuple[str, ...] = Field((), description="columns of the table that are added; none: all")
    on_missing: Literal["refuse", "leave-out", "keep"] = Field(
        "refuse", description="rows that the table has no row for: refused, left out, or kept with empty cells"
    )
    table: TableForm = Field(default_factory=TableForm, description="how the table is written")


class FrameRange(Section):
    """Some of the frames of a file, or of the slices of a volume."""

    start: Annotated[float, Field(ge=0.0)] = Field(0.0, description="the first one, counted from 0")
    stop: Annotated[float, Field(gt=0.0)] | None = Field(None, description="the one before which it ends; none: all")
    step: Count = Field(1, description="every so many of them")
    unit: Literal["frames", "percent"] = Field("frames", description="what start and stop are counted in")


def _frames_form(value: object) -> str:
    if isinstance(value, dict | FrameRange):
        return MAPPING
    return NUMBER if isinstance(value, int) and not isinstance(value, bool) else WORD


FramesChoice = Annotated[
    Annotated[Literal["all", "middle"], Tag(WORD)]
    | Annotated[int, Field(ge=0), Tag(NUMBER)]
    | Annotated[FrameRange, Tag(MAPPING)],
    Discriminator(_frames_form),
]
AxisName = Literal["axial", "coronal", "sagittal"]
TAGS = ("Modality", "ViewPosition", "Manufacturer", "BurnedInAnnotation")


class Source(Section):
    """Where rows come from."""

    source: Literal["folders", "csv", "covid-ct", "phantom"] = Field("folders", description="layout of the data")
    root: Root | None = Field(None, description="folder, archive (ZIP, tar) or fsspec URL that holds the images")
    csv: Tables | None = Field(
        None,
        description="table of rows (csv), relative to root: file, label, patient?, split?; or a table for each part of "
        "the split, {train: FILE, test: FILE}",
    )
    merge: tuple[Merge, ...] = Field(
        (), description="tables whose columns are added to the rows, by columns that both have (csv, folders)"
    )
    split_lists: dict[PartName, UserPath] = Field(
        {},
        description="text files that list the images of a part of the split, one a line: {train: FILE, test: FILE} "
        "(csv, folders)",
    )
    columns: Columns = Field(
        default_factory=Columns,
        description="which column of the table is what (csv); where in the files' names the patient, study, label, "
        "split or source stands (folders)",
    )
    where: dict[str, Cell | tuple[Cell, ...]] = Field(
        {}, description="column of the table: the value, or the values, of the rows that are read (csv, folders)"
    )
    leave_out: tuple[Cell, ...] = Field(
        (), description="labels whose rows are left out, and counted; '' is a row without a label (csv, folders)"
    )
    repeated: Literal["refuse", "join"] = Field(
        "refuse", description="several rows of one image: refused, or one row, its different values joined by | (csv)"
    )
    table: TableForm = Field(default_factory=TableForm, description="how the table is written (csv)")
    outside: bool = Field(
        False, description="whether tables and links may name files outside root (absolute, ../, links that lead out)"
    )
    find_by: Literal["content", "ending"] = Field(
        "content",
        description="which files are images: those whose first bytes say so, DICOM headers read; or by ending alone",
    )
    label_folders: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="folder names that make the label (folders), from the outermost; none: all of them; 0: images "
        "without labels, in folders or not",
    )
    frames: FramesChoice | None = Field(
        None,
        description="frames of a file with several, slices of a volume or DICOM series: all, middle, a number from 0, "
        "a range; none: a file with several is refused",
    )
    axis: AxisName = Field("axial", description="direction of a volume's slices")
    tags: tuple[str, ...] = Field(TAGS, description="DICOM attributes that become columns, by keyword")
    patient_ids: Literal["hashed", "plain"] = Field(
        "hashed",
        description="PatientID and other names of people from DICOM: hashed with this computer's key, or plain",
    )
    images: Annotated[int, Field(ge=12)] = Field(600, description="number of painted images (phantom)")
    seed: int = Field(0, description="seed of the painting (phantom)")
