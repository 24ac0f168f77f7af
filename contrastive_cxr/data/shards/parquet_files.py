"""Shards as Parquet files; the one file of this room that imports pyarrow, late, as it is optional."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading, remote
from contrastive_cxr.data.files.addresses import is_url
from contrastive_cxr.errors import CcxrError, RequestError

if TYPE_CHECKING:
    import pandas as pd

Bytes = NDArray[np.uint8]
IDENTITY = b"ccxr_shard"
COMPRESSION, LEVEL = "zstd", 1


def require() -> None:
    """Raise a `RequestError` with the install line where pyarrow is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise RequestError(
            "image shards are Parquet files, which need pyarrow, and it is not installed: "
            "pip install 'contrastive_cxr[parquet]'; or train from the memory map (data.shards=null)"
        )


def shard_bytes(squares: Bytes, digests: Sequence[str], group: int, identity: str) -> bytes:
    """A shard as a file's content: columns `digest` and `pixels`, `group` rows a row group, a checksum a page.

    Parameters
    ----------
    squares : uint8 [n, 1, S, S]
    digests : SHA-256 of the n files
    group : squares of a row group
    identity : what the shard is, kept in the file's metadata
    """
    import pyarrow
    import pyarrow.parquet

    side = squares.shape[-1]
    pixels = pyarrow.FixedSizeBinaryArray.from_buffers(
        pyarrow.binary(side * side), len(squares), [None, pyarrow.py_buffer(np.ascontiguousarray(squares))]
    )
    table = pyarrow.table({"digest": pyarrow.array(list(digests), pyarrow.string()), "pixels": pixels})
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(
        table.replace_schema_metadata({IDENTITY: identity.encode()}), buffer, row_group_size=group,
        compression=COMPRESSION, compression_level=LEVEL, use_dictionary=False, write_page_checksum=True,
        write_statistics=False,
    )  # fmt: skip
    return bytes(buffer.getvalue())


def identity_of(file: str) -> str:
    """What a shard says it is; '' where the file is none, is cut, or is not there."""
    import pyarrow
    import pyarrow.parquet

    try:
        found = pyarrow.parquet.read_metadata(file).metadata or {}
    except (OSError, pyarrow.ArrowException):
        return ""
    return str(found.get(IDENTITY, b"").decode(errors="replace"))


def footer(file: str) -> Any:
    """The footer of a shard: where its row groups are, so that it is read once and not with every group."""
    import pyarrow
    import pyarrow.parquet

    try:
        with _opened(file) as source:
            return pyarrow.parquet.ParquetFile(source).metadata
    except (OSError, DecodeError, pyarrow.ArrowException) as error:
        raise _broken(file, error) from error


def group(file: str, known: Any, number: int, side: int) -> Bytes:
    """The squares of a row group, uint8 [n, 1, S, S], read-only.

    Parameters
    ----------
    known : the shard's `footer`
    number : of the row group, from 0

    Raises
    ------
    CcxrError
        The file is cut or damaged, or cannot be reached.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with _opened(file) as source:
            opened = pyarrow.parquet.ParquetFile(source, metadata=known, page_checksum_verification=True)
            column = opened.read_row_group(number, columns=["pixels"], use_threads=False).column("pixels")
    except (OSError, DecodeError, pyarrow.ArrowException) as error:
        raise _broken(file, error) from error
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8, len(chunk) * side * side, chunk.offset * side * side)
        for chunk in column.chunks
    ]
    whole: Bytes = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return whole.reshape(-1, 1, side, side)


def table_bytes(table: pd.DataFrame) -> bytes:
    """A table as a Parquet file's content."""
    import pyarrow
    import pyarrow.parquet

    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(table, preserve_index=False), buffer, compression="zstd")
    return bytes(buffer.getvalue())


def table(file: str) -> pd.DataFrame:
    """A table that `table_bytes` wrote; `RequestError` where it cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        content = pyarrow.BufferReader(reading.content(file))
        found: pd.DataFrame = pyarrow.parquet.read_table(content).to_pandas()
    except (OSError, DecodeError, pyarrow.ArrowException) as error:
        raise RequestError(
            f"data.shards: '{file}' cannot be read ({_words(error)}); copy it again or pack anew"
        ) from None
    return found


def _opened(file: str) -> IO[bytes]:
    """A shard open for reading in parts."""
    return remote.opened(file)[0] if is_url(file) else open(file, "rb")


def _broken(file: str, error: Exception) -> CcxrError:
    return CcxrError(
        f"the image shard '{file}' cannot be read ({_words(error)}); copy it again, or run the same `ccxr data pack` "
        "command, which writes what is missing; a run goes on with --resume"
    )


def _words(error: Exception) -> str:
    """What went wrong, on one line."""
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error).partition("\n")[0]
