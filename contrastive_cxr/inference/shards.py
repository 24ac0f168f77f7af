"""A folder of vectors that several processes fill, part by part, and that goes on where it was killed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contrastive_cxr import __version__
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.inference.image_sources import Pictures, digest
from contrastive_cxr.recipe import schema
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run import parquet

log = logging.getLogger(__name__)
RECORD = "_encoding.json"
"""Readers of Parquet folders (pandas, Spark) pass over names that begin with `_`, so they can read the folder."""
EARLIER_RECORD = "encoding.json"
Count = Annotated[int, Field(ge=1)]
Some = Callable[[int, int], NDArray[np.float32]]


class Part(BaseModel):
    """One file: images `first` to `first + images - 1`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(description="place below the folder")
    first: Annotated[int, Field(ge=0)] = Field(description="number of its first image, from 0")
    images: Count = Field(description="its rows")


class Record(BaseModel):
    """`_encoding.json`: what the parts are, and whether all of them are there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = Field(1, description="version of this record")
    model: str = Field(description="SHA-256 of the weights")
    source: str = Field(description="SHA-256 of the images' names in their order")
    images: Count = Field(description="rows of all parts")
    dimensions: Count = Field(description="length of a vector")
    part_images: Count = Field(description="rows of a part, the last excepted")
    precision: schema.InferencePrecision = Field("32-true", description="in which the network computes")
    version: str = Field(__version__, description="of the program that began it")
    complete: bool = Field(False, description="whether every part is there")
    parts: tuple[Part, ...] = Field((), description="in the order of the images; empty until it is complete")


def planned(
    pictures: Pictures, model: str, dimensions: int, part_images: int, precision: schema.InferencePrecision = "32-true"
) -> Record:
    """The record of an encoding that has not begun."""
    return Record(
        model=model, source=digest(pictures), images=len(pictures), dimensions=dimensions, part_images=part_images,
        precision=precision,
    )  # fmt: skip


def parts_of(record: Record) -> list[Part]:
    """All parts of an encoding, in order: their names sort as the images do."""
    size = record.part_images
    return [
        Part(file=f"parts/part-{number:06d}.parquet", first=first, images=min(size, record.images - first))
        for number, first in enumerate(range(0, record.images, size))
    ]


def begin(out: Path, wanted: Record, overwrite: bool = False) -> None:
    """Make the folder, or take up one that holds the same encoding, unfinished.

    With `overwrite` the encoding that a folder holds is removed first, whatever it is of.

    Raises
    ------
    RequestError
        The folder holds something else, another encoding, or a finished one.
    """
    if overwrite and remove(out):
        folders.write_json(out / RECORD, wanted.model_dump())
        return
    known = read(out)
    if known is None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RequestError(
                f"--out {out}: is there already and holds no encoding (no {RECORD}); name another folder"
            )
        folders.write_json(out / RECORD, wanted.model_dump())
        return
    own = {"version", "complete", "parts", "precision"}
    then, now = known.model_dump(exclude=own), wanted.model_dump(exclude=own)
    different = [name for name in now if then[name] != now[name]]
    if different:
        said = ", ".join(f"{name} {then[name]} there, {now[name]} asked for" for name in different)
        raise RequestError(
            f"--out {out}: holds an encoding of something else ({said}); name another folder, or give --overwrite"
        )
    if known.complete:
        raise RequestError(
            f"--out {out}: holds this encoding already, whole; use it, name another folder, or give --overwrite"
        )


def record_of(out: Path) -> Path:
    """The file of a folder's record, also under the name of earlier versions."""
    return out / (EARLIER_RECORD if (out / EARLIER_RECORD).is_file() else RECORD)


def remove(out: Path) -> bool:
    """Remove the encoding that a folder holds, its record last; whether there was one. Other files stay."""
    record = record_of(out)
    if not record.is_file():
        return False
    for part in (out / "parts").glob("part-*.parquet"):
        part.unlink()
    record.unlink()
    return True


def read(out: Path) -> Record | None:
    """The record of a folder; None where there is none.

    Raises
    ------
    RequestError
        It is not what this program writes.
    """
    file = record_of(out)
    if not file.is_file():
        return None
    try:
        return Record.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise RequestError(f"{file} cannot be read ({first}); remove the folder and encode again") from error


def fill(out: Path, record: Record, pictures: Pictures, vectors: Some, fabric: Fabric) -> None:
    """Write this process's parts that are not there yet: every W-th of W processes, so that no two write the same.

    No process waits for another, and one part at a time is held in memory.

    Parameters
    ----------
    vectors : callable
        `vectors(first, end) -> float32 [end - first, D]`.
    """
    mine = parts_of(record)[fabric.global_rank :: fabric.world_size]
    todo = [part for part in mine if not (out / part.file).is_file()]
    if len(todo) < len(mine):
        log.warning("%s: %d of this process's %d parts are there; going on", out, len(mine) - len(todo), len(mine))
    for part in todo:
        end = part.first + part.images
        parquet.write(out / part.file, pictures.rows(part.first, end), vectors(part.first, end))


def finish(out: Path, record: Record) -> None:
    """Say in the record that all parts are there; called by one process, when all have filled theirs.

    Raises
    ------
    CcxrError
        A part is not there: this machine does not see what another one wrote.
    """
    parts = parts_of(record)
    missing = [part.file for part in parts if not (out / part.file).is_file()]
    if missing:
        raise CcxrError(
            f"{out}: {len(missing)} of {len(parts)} parts are not there ({missing[0]}); processes on several machines "
            "need a folder that all of them see"
        )
    folders.write_json(record_of(out), record.model_copy(update={"complete": True, "parts": tuple(parts)}).model_dump())
