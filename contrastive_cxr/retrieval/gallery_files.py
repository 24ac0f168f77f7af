"""A gallery on disk: `vectors.npy`, `rows.csv`, and `gallery.json`, which says what they are."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contrastive_cxr import __version__
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import write_bytes

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
AGAIN = "build the gallery again"


class Record(BaseModel):
    """`gallery.json`: what the files beside it are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = Field(1, description="version of this record")
    metric: Literal["inner product of unit vectors"] = Field("inner product of unit vectors", description="the measure")
    count: Annotated[int, Field(ge=1)] = Field(description="number of rows")
    dimensions: Annotated[int, Field(ge=1)] = Field(description="length of a vector")
    model: str = Field(description="digest of the model that made the vectors; empty: not known")
    vectors_sha256: Digest = Field(description="digest of vectors.npy")
    rows_sha256: Digest = Field(description="digest of rows.csv")
    versions: dict[str, str] = Field(description="of the libraries that wrote it")


def write(folder: Path, vectors: npt.NDArray[np.float32], rows: pd.DataFrame, model_digest: str) -> None:
    """Write the three files, each whole or not at all, the record last.

    Raises
    ------
    CcxrError
        Where the folder cannot be written to.
    """
    buffer = io.BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    content, table = buffer.getvalue(), rows.to_csv(index=False, lineterminator="\n").encode()
    record = Record(
        count=len(vectors),
        dimensions=vectors.shape[1],
        model=model_digest,
        vectors_sha256=hashlib.sha256(content).hexdigest(),
        rows_sha256=hashlib.sha256(table).hexdigest(),
        versions={"contrastive_cxr": __version__, "numpy": np.__version__, "pandas": pd.__version__},
    )
    write_bytes(folder / "vectors.npy", content)
    write_bytes(folder / "rows.csv", table)
    write_bytes(folder / "gallery.json", record.model_dump_json(indent=2).encode() + b"\n")


def read(folder: Path) -> tuple[npt.NDArray[np.float32], pd.DataFrame, str]:
    """Read vectors, rows (all text) and the model's digest; no pickle is opened.

    Raises
    ------
    RequestError
        Where a file is missing, altered, or not what `gallery.json` says.
    """
    record = _read_record(folder / "gallery.json")
    content = _checked(folder / "vectors.npy", record.vectors_sha256)
    table = _checked(folder / "rows.csv", record.rows_sha256)
    try:
        vectors = np.load(io.BytesIO(content), allow_pickle=False)
        rows = pd.read_csv(io.BytesIO(table), dtype=str, keep_default_na=False)
    except (ValueError, EOFError) as error:
        raise RequestError(f"{folder} holds an unreadable vectors.npy or rows.csv ({error}); {AGAIN}") from error
    if vectors.shape != (record.count, record.dimensions) or len(rows) != record.count:
        raise RequestError(
            f"{folder / 'gallery.json'} says {record.count} rows of {record.dimensions} numbers, but vectors.npy holds "
            f"{list(vectors.shape)} and rows.csv {len(rows)} rows; {AGAIN}"
        )
    return vectors, rows, record.model


def _read_record(path: Path) -> Record:
    if not path.is_file():
        raise RequestError(f"{path} is missing; give a folder that ccxr index or Gallery.save wrote")
    try:
        return Record.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise RequestError(f"{path} is no record of a gallery: {where}: {first['msg']}; {AGAIN}") from error
    except ValueError as error:
        raise RequestError(f"{path} is not JSON ({error}); {AGAIN}") from error


def _checked(path: Path, digest: str) -> bytes:
    """The file's content, where it has the recorded digest."""
    if not path.is_file():
        raise RequestError(f"{path} is missing; {AGAIN}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise RequestError(f"{path} is not the file that gallery.json describes: cut short or altered; {AGAIN}")
    return content
