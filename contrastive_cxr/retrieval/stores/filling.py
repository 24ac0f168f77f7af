"""Fill a store block by block, build its index, measure it; killed, the same call goes on with what is there."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from contrastive_cxr import __version__, terminal
from contrastive_cxr.data.files.addresses import is_url, join, split
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.index import Kind
from contrastive_cxr.retrieval.rows import Vectors, table, unit_vectors
from contrastive_cxr.retrieval.stores.measuring import measured
from contrastive_cxr.retrieval.stores.record import StoreRecord, kind_for
from contrastive_cxr.retrieval.stores.store import BLOCK, PLACE, VECTOR, Store

logger = logging.getLogger(__name__)
_NO_NAME = frozenset(".\"`'\\")
Some = Callable[[int, int], Vectors]
"""`some(first, end) -> float32 [end - first, D]`: the vectors of these rows."""


@dataclass(frozen=True)
class Rows:
    """Rows that are given a block at a time.

    Attributes
    ----------
    count : int
    columns : of all rows, `id` first
    some : `some(first, end) -> DataFrame`, as `retrieval.rows.table` gives it
    digest : str
        Of all rows, to see whether an unfinished gallery is of the same.
    """

    count: int
    columns: tuple[str, ...]
    some: Callable[[int, int], pd.DataFrame]
    digest: str

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Rows:
        """Those of a table in memory, about 300 bytes a row."""
        known = table(rows)
        found = hashlib.sha256()
        for first in range(0, len(known), BLOCK):
            hashes = pd.util.hash_pandas_object(known.iloc[first : first + BLOCK], index=False)
            found.update(hashes.to_numpy().tobytes())
        return cls(len(known), tuple(map(str, known.columns)), lambda a, b: known.iloc[a:b], found.hexdigest())


def fill(
    store: Store, about: About, dimensions: int, rows: pd.DataFrame | Rows, some: Some, together: int = 4
) -> StoreRecord:
    """Make a gallery of rows and the vectors that `some` gives for them, a block at a time.

    Parameters
    ----------
    about : About
        `kind` is that of the finished gallery.
    rows : DataFrame [M] or Rows
        A table as `retrieval.rows.table` takes it.
    together : int
        Blocks that are written as one: what a kill may lose. Few large files are searched a little more quickly.

    Raises
    ------
    RequestError
        There is a gallery already, another process writes it, a column's name is taken by the store, or vectors are not
        finite and of unit length.
    """
    known = rows if isinstance(rows, Rows) else Rows.of(rows)
    raise_faults(_taken_names(known.columns))
    record = StoreRecord(
        store=store.kind_of_store, dimensions=dimensions, columns=known.columns, model=about.model,
        preprocessing=about.preprocessing or {}, made_by=about.made_by,
        source=hashlib.sha256(f"{about.model} {dimensions} {known.columns} {known.digest}".encode()).hexdigest(),
    )  # fmt: skip
    kind = kind_for(store.kind_of_store, known.count, about.kind)
    with store.writing():
        begun = store.begin(record)
        if begun:
            logger.warning("%s: %d of the %d rows are there; going on", store, begun, known.count)
        for first in range(begun, known.count, together * BLOCK):
            store.append(_blocks(known, some, first, min(first + together * BLOCK, known.count), dimensions))
        terminal.stage("building the index")
        done = indexed(store, record, kind)
        store.write_record(done)
    return done


def _blocks(known: Rows, some: Some, begin: int, end: int, dimensions: int) -> Iterator[tuple[pd.DataFrame, Vectors]]:
    """Rows `begin` to `end - 1` with their vectors, checked, a block at a time."""
    for first in range(begin, end, BLOCK):
        part = with_places(known.some(first, min(first + BLOCK, end)))
        vectors = unit_vectors(some(first, first + len(part)), "vectors")
        if vectors.shape != (len(part), dimensions):
            raise RequestError(f"vectors are {list(vectors.shape)} for {len(part)} rows of {dimensions} numbers")
        yield part, vectors


def indexed(store: Store, record: StoreRecord, kind: Kind) -> StoreRecord:
    """Build the index, measure it, and give the finished record."""
    versions = {"contrastive_cxr": __version__, "numpy": np.__version__, **store.build_index(kind, record.columns)}
    with store.view() as view:
        return measured(view, record, kind).model_copy(update={"source": "", "versions": versions})


def with_places(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with the address of each image in a column of its own, '' where it has no path."""
    roots = rows["root"] if "root" in rows else [""] * len(rows)
    pairs = zip(roots, rows["path"], strict=True)
    return rows.assign(**{PLACE: [_address(join(str(root), str(path))) if path else "" for root, path in pairs]})


def _address(place: str) -> str:
    """An address that means the same in every working folder; of a file's own link the target is not looked up."""
    if is_url(place):
        return place
    file, inside = split(place)
    folder, name = os.path.split(os.path.abspath(file))
    return f"{os.path.join(_real(folder), name)}{inside or ''}"


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _taken_names(columns: Iterable[object]) -> list[str]:
    """Columns that no store can hold."""
    names = list(map(str, columns))
    wrong = [
        name
        for name in names
        if name in (VECTOR, PLACE) or name.startswith("_") or len(name) > 60 or not _NO_NAME.isdisjoint(name)
    ]
    wrong += [name for name in names if [other.lower() for other in names].count(name.lower()) > 1]
    return [
        f"column '{name}': no name for a column of a store; give one of its own of up to 60 letters, without a dot, a "
        f"quotation mark or a backslash, not beginning with _ and not '{VECTOR}'"
        for name in dict.fromkeys(wrong)
    ]


def checked_columns(rows: pd.DataFrame, known: Sequence[str]) -> list[str]:
    """Faults of rows that are to be added to a gallery of these columns."""
    others = [str(name) for name in rows.columns if name not in known]
    if not others:
        return []
    return [f"the rows have {', '.join(others)}, the gallery {', '.join(known)}; leave other columns out"]
