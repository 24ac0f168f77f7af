"""A gallery on disk: `vectors.npy` and `rows.csv`, the truth; `gallery.json`, which says what they are.

The index beside them (`retrieval.index_files`) can be made again from the vectors at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contrastive_cxr import __version__
from contrastive_cxr.data.tables.text_tables import read_table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import AtomicWrites, complete, digest, read_json
from contrastive_cxr.retrieval.index import VERSION, Kind
from contrastive_cxr.retrieval.measure import Familiar
from contrastive_cxr.retrieval.rows import Vectors, unit_vectors
from contrastive_cxr.run.folder import read_array

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Stamp = tuple[Annotated[int, Field(ge=0)], int]
AGAIN = "build the gallery again"
DIGESTED = 64 * 2**20  # bytes: smaller files are digested at every load, which takes a tenth of a second


class Record(BaseModel):
    """`gallery.json`: what the files beside it are. Records of format 1 lack what came later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1, 2] = Field(2, description="version of this record")
    metric: Literal["inner product of unit vectors"] = Field("inner product of unit vectors", description="the measure")
    count: Annotated[int, Field(ge=1)] = Field(description="number of rows")
    dimensions: Annotated[int, Field(ge=1)] = Field(description="length of a vector")
    model: str = Field(description="digest of the model that made the vectors; empty: not known")
    preprocessing: dict[str, Any] = Field({}, description="how that model reads an image; empty: not known")
    made_by: str = Field("", description="folder of that model when the gallery was made; empty: not known")
    kind: Kind = Field("exact", description="how rows are found")
    familiar: Familiar | None = Field(None, description="distances of the gallery's own cases")
    vectors_sha256: Digest = Field(description="digest of vectors.npy")
    rows_sha256: Digest = Field(description="digest of rows.csv")
    stamps: dict[str, Stamp] = Field({}, description="bytes and time of change (nanoseconds) of each file")
    versions: dict[str, str] = Field(description="of the libraries that wrote it")


@dataclass(frozen=True)
class About:
    """What a gallery says of itself beside vectors and rows; the fields are those of `Record`."""

    model: str = ""
    preprocessing: dict[str, Any] | None = None
    made_by: str = ""
    kind: Kind = "exact"
    familiar: Familiar | None = None


def write(together: AtomicWrites, vectors: Vectors, rows: pd.DataFrame, about: About) -> Record:
    """Write the three files, the record last; they take their places when `together` ends."""
    paths = {name: together.place(name) for name in ("vectors.npy", "rows.csv")}
    with paths["vectors.npy"].open("wb") as file:
        np.save(file, vectors, allow_pickle=False)
    rows.to_csv(paths["rows.csv"], index=False, lineterminator="\n")
    record = Record(
        count=len(vectors),
        dimensions=vectors.shape[1],
        model=about.model,
        preprocessing=about.preprocessing or {},
        made_by=about.made_by,
        kind=about.kind,
        familiar=about.familiar,
        vectors_sha256=digest(paths["vectors.npy"]),
        rows_sha256=digest(paths["rows.csv"]),
        stamps={name: stamp(path) for name, path in paths.items()},
        versions={
            "contrastive_cxr": __version__, "numpy": np.__version__, "pandas": pd.__version__, "faiss": VERSION
        },
    )  # fmt: skip
    together.place("gallery.json").write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return record


def read(folder: Path, verify: bool = False) -> tuple[Record, Vectors]:
    """The record and the vectors, mapped from disk and not read; no pickle is opened.

    Files below 64 MiB are always digested, and vectors in them held to be finite and of unit length. A larger file is
    taken for what was written where its size and time of change are those recorded: to digest 2 GB costs seconds at
    every load, and only somebody who means to could change it so. A copied gallery has new times, and is digested.

    Parameters
    ----------
    verify : bool
        Digest and check larger files too.

    Raises
    ------
    RequestError
        Where a file is missing, altered, cut short, or not what `gallery.json` says.
    """
    if folder.is_dir():
        complete(folder)
    record = read_record(folder / "gallery.json")
    for name, expected in (("vectors.npy", record.vectors_sha256), ("rows.csv", record.rows_sha256)):
        check(folder / name, expected, None if verify else record.stamps.get(name))
    try:
        vectors = read_array(folder / "vectors.npy", mapped=True)
    except RequestError as error:
        raise RequestError(f"{folder} holds an unreadable vectors.npy ({error.__cause__}); {AGAIN}") from error
    if vectors.shape != (record.count, record.dimensions) or vectors.dtype != np.float32:
        raise RequestError(
            f"{folder / 'gallery.json'} says {record.count} rows of {record.dimensions} numbers, but vectors.npy holds "
            f"{vectors.dtype} {list(vectors.shape)}; {AGAIN}"
        )
    if verify or vectors.nbytes < DIGESTED:
        unit_vectors(vectors, f"{folder / 'vectors.npy'}")
    return record, vectors


def read_rows(folder: Path, count: int) -> pd.DataFrame:
    """The rows, all text: a million of six columns take some seconds, so they are read when they are first wanted.

    Raises
    ------
    RequestError
        Where the table cannot be read or has another number of rows.
    """
    try:
        rows = read_table(folder / "rows.csv")
    except RequestError as error:
        raise RequestError(f"{folder} holds an unreadable rows.csv ({error.faults[0]}); {AGAIN}") from error
    if len(rows) != count:
        raise RequestError(
            f"{folder / 'gallery.json'} says {count} rows, but there are {len(rows)} in rows.csv; {AGAIN}"
        )
    return rows


def read_record(path: Path) -> Record:
    """`gallery.json`, checked."""
    if not path.is_file():
        raise RequestError(f"{path} is missing; give a folder that ccxr index or Gallery.save wrote")
    try:
        found = read_json(path)
        if isinstance(found, dict) and "store" in found:
            raise RequestError(f"{path.parent} is a gallery in a store; open it with retrieval.open_gallery")
        return Record.model_validate(found)
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise RequestError(f"{path} is no record of a gallery: {where}: {first['msg']}; {AGAIN}") from error
    except ValueError as error:
        raise RequestError(f"{path} is not JSON ({error}); {AGAIN}") from error


def check(path: Path, expected: str, known: Stamp | None) -> None:
    """Refuse a file that is not the recorded one; `known`: believe a large file of this size and time."""
    if not path.is_file():
        raise RequestError(f"{path} is missing; {AGAIN}")
    if known is not None and known[0] >= DIGESTED and stamp(path) == known:
        return
    if (known is not None and stamp(path)[0] != known[0]) or digest(path) != expected:
        raise RequestError(f"{path} is not the file that gallery.json describes: cut short or altered; {AGAIN}")


def stamp(path: Path) -> Stamp:
    """Bytes and time of change."""
    seen = path.stat()
    return seen.st_size, seen.st_mtime_ns
