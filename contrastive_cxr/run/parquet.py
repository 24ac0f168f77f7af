"""Vectors and their rows as Parquet; the one file that imports pyarrow, late, as it is optional."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.files import write_bytes

if TYPE_CHECKING:
    import pandas


def require() -> None:
    """Raise a `RequestError` with the install line where pyarrow is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise RequestError(
            "Parquet needs pyarrow, which is not installed: pip install 'contrastive_cxr[parquet]'; or write one .npy "
            "file, from one process"
        )


def write(path: Path, rows: pandas.DataFrame, vectors: NDArray[np.float32]) -> None:
    """Write a table with a column `vector`, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    rows : DataFrame [n]
        The columns before it; text or whole numbers.
    vectors : float32 [n, D]
        A list of D numbers a row, stored as they are: a float that changes in its last bits does not compress.
    """
    import pyarrow
    import pyarrow.parquet

    flat = pyarrow.array(np.ascontiguousarray(vectors).reshape(-1), type=pyarrow.float32())
    columns: dict[str, Any] = {str(name): pyarrow.array(rows[name].tolist()) for name in rows}
    columns["vector"] = pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(
        pyarrow.table(columns), buffer, use_dictionary=False, compression=dict.fromkeys(map(str, rows), "snappy")
    )
    write_bytes(path, buffer.getvalue())


def write_columns(path: Path, columns: dict[str, list[Any]]) -> None:
    """Write a table of any columns, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    columns : {name: values}
        Lists of one length; of text, numbers, bytes, or dicts of them, as pyarrow recognises them. NaN is missing.
    """
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({name: pyarrow.array(values, from_pandas=True) for name, values in columns.items()})
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, buffer)
    write_bytes(path, buffer.getvalue())


def read_vectors(path: Path) -> NDArray[np.float32]:
    """The column `vector` of a file that `write` wrote, float32 [n, D].

    Raises
    ------
    CcxrError
        It is cut short, or no such file.
    """
    column = _read(path, ["vector"])["vector"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    return np.asarray(vectors, dtype=np.float32)


def read_columns(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """Those of the named columns that a file has; the vectors are not read.

    Raises
    ------
    CcxrError
        As `read_vectors`.
    """
    table = _read(path, names)
    return {name: table[name].to_pylist() for name in table.column_names}


def _read(path: Path, names: Sequence[str]) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            there = [name for name in names if name in file.schema_arrow.names]
            if names == ["vector"] and not there:
                raise pyarrow.ArrowInvalid("no column 'vector'")
            return file.read(columns=there, use_threads=False)
    except (OSError, pyarrow.ArrowException) as error:
        raise CcxrError(f"{path} cannot be read as a table of vectors ({error}); encode its images again") from error
