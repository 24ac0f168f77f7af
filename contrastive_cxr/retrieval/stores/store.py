"""What a store does for a gallery: a view of one version to read from, and a writer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from contrastive_cxr.retrieval.index import Kind
from contrastive_cxr.retrieval.rows import Ids, Texts, Vectors
from contrastive_cxr.retrieval.stores.record import StoreName, StoreRecord

BLOCK = 16_384
"""Rows written and read at once: 32 MiB of vectors of 512 numbers."""
VECTOR, PLACE = "vector", "_place"
"""Columns of a store beside the rows' own: the vector, and the address of the image."""


@dataclass(frozen=True)
class Among:
    """Rows that have one of these values in a column; with `inverse` those that have none of them."""

    column: str
    values: tuple[str, ...]
    inverse: bool = False


Conditions = Sequence[Among]
"""All of them must hold."""


@dataclass(frozen=True)
class Candidates:
    """Rows that may be among the nearest.

    Attributes
    ----------
    ids : int64 [n]
    patients : str [n]
    vectors : float32 [n, D]
    """

    ids: Ids
    patients: Texts
    vectors: Vectors


class View(Protocol):
    """One version of the rows; whatever others write meanwhile, every answer is of this version."""

    @property
    def version(self) -> str:
        """A word for the version."""

    @property
    def filtered_pass(self) -> bool:
        """Whether `blocks` with a filter reads fewer vectors than `exact`, even for one query."""

    def count(self, where: Conditions = ()) -> int:
        """Number of rows."""

    def near(self, query: Vectors, count: int, where: Conditions, effort: int) -> Candidates:
        """About the `count` nearest of one query [D], by the index, looking as far as `effort` says."""

    def exact(self, query: Vectors, count: int, where: Conditions) -> Candidates:
        """The `count` nearest of one query [D], by comparing all rows that fit."""

    def rows(self, ids: Sequence[int], columns: Sequence[str]) -> pd.DataFrame:
        """Rows with these ids, in any order; ids that are not there are passed over."""

    def vectors(self, ids: Sequence[int]) -> tuple[Ids, Vectors]:
        """Ids and vectors of rows, in any order; ids that are not there are passed over."""

    def find(self, column: str, values: Sequence[str]) -> pd.DataFrame:
        """`id` and the column of the rows that have one of the values."""

    def blocks(
        self, columns: Sequence[str], where: Conditions = (), *, vectors: bool = True
    ) -> Iterator[tuple[pd.DataFrame, Vectors]]:
        """All rows, some thousand at a time, in the order they were added; without `vectors` float32 [n, 0]."""


class Store(Protocol):
    """A place that holds a gallery."""

    kind_of_store: StoreName

    def __str__(self) -> str:
        """How the place is called, without a password."""

    def record(self) -> StoreRecord:
        """What the gallery says of itself; `RequestError` where there is none, it is unfinished or another format."""

    def view(self) -> AbstractContextManager[View]:
        """The newest version."""

    def writing(self) -> AbstractContextManager[None]:
        """Hold the gallery for writing; `RequestError` where another process does."""

    def begin(self, record: StoreRecord) -> int:
        """Make an empty, unfinished gallery, or go on with one of the same source; how many rows it has."""

    def append(self, blocks: Iterable[tuple[pd.DataFrame, Vectors]]) -> None:
        """Add rows as one new version: all of them, or none."""

    def delete(self, ids: Sequence[int]) -> None:
        """Take rows out as one new version."""

    def build_index(self, kind: Kind, columns: Sequence[str]) -> Mapping[str, str]:
        """Build the index, and those of the columns that are filtered by; the versions of the libraries that did."""

    def write_record(self, record: StoreRecord) -> None:
        """Write the record; the gallery is then finished."""
