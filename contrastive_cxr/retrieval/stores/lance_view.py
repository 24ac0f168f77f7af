"""One version of Lance files, to read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr.retrieval.rows import Ids, Vectors
from contrastive_cxr.retrieval.stores.scan import texts
from contrastive_cxr.retrieval.stores.store import BLOCK, PLACE, VECTOR, Candidates, Conditions
from contrastive_cxr.retrieval.stores.training import lists_for, sample_rows

_GIVEN = ["id", "patient", VECTOR, "_distance"]
_ASKED = 1000  # ids of one filter
_SCANNED = 4096  # rows that Lance reads at once in a pass: several of them are under way


class LanceView:
    """See `store.View`.

    Parameters
    ----------
    dataset : of lance; a version of it does not change
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    @property
    def version(self) -> str:
        """Lance's number of the version."""
        return str(self._dataset.version)

    @property
    def filtered_pass(self) -> bool:
        """Lance compares all vectors, then filters: of 100,000 rows 137 ms; a pass over 1 % of them takes 17 ms."""
        return True

    def count(self, where: Conditions = ()) -> int:
        """Number of rows."""
        return int(self._dataset.count_rows(words(where)))

    def near(self, query: Vectors, count: int, where: Conditions, effort: int) -> Candidates:
        """About the nearest, by the index and, of rows that it does not have yet, by comparing all."""
        options = {"minimum_nprobes": effort} if where else {"nprobes": effort}
        return self._nearest(query, count, where, options)

    def exact(self, query: Vectors, count: int, where: Conditions) -> Candidates:
        """The nearest, by comparing all rows that fit."""
        return self._nearest(query, count, where, {"use_index": False})

    def _nearest(self, query: Vectors, count: int, where: Conditions, options: dict[str, Any]) -> Candidates:
        nearest = {"column": VECTOR, "q": query, "k": count, "metric": "l2", **options}
        found = self._dataset.to_table(columns=_GIVEN, nearest=nearest, filter=words(where), prefilter=True)
        return Candidates(
            found["id"].to_numpy(), texts(found["patient"].to_pylist()), vectors_of(found, query.shape[0])
        )

    def rows(self, ids: Sequence[int], columns: Sequence[str]) -> pd.DataFrame:
        """Rows with these ids."""
        parts = [
            self._dataset.to_table(columns=list(columns), filter=_among(ids[first : first + _ASKED]))
            for first in range(0, len(ids), _ASKED)
        ]
        if not parts:
            return _frame(self._dataset.schema.empty_table().select(list(columns)))
        return pd.concat([_frame(part) for part in parts], ignore_index=True)

    def vectors(self, ids: Sequence[int]) -> tuple[Ids, Vectors]:
        """Ids and vectors."""
        width = self._dataset.schema.field(VECTOR).type.list_size
        known, found = [np.zeros(0, np.int64)], [np.zeros((0, width), np.float32)]
        for first in range(0, len(ids), _ASKED):
            part = self._dataset.to_table(columns=["id", VECTOR], filter=_among(ids[first : first + _ASKED]))
            known.append(part["id"].to_numpy())
            found.append(vectors_of(part, width))
        return np.concatenate(known), np.concatenate(found)

    def find(self, column: str, values: Sequence[str]) -> pd.DataFrame:
        """`id` and the column of the rows that have one of the values."""
        parts = [
            _frame(self._dataset.to_table(columns=["id", column], filter=_of(column, values[first : first + _ASKED])))
            for first in range(0, len(values), _ASKED)
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"id": [], column: []})

    def blocks(
        self, columns: Sequence[str], where: Conditions = (), *, vectors: bool = True
    ) -> Iterator[tuple[pd.DataFrame, Vectors]]:
        """All rows, some thousand at a time, in the order they were added."""
        import pyarrow

        wanted = [*columns, VECTOR] if vectors else list(columns)
        scanner = self._dataset.scanner(
            columns=wanted, filter=words(where), batch_size=_SCANNED if vectors else 4 * BLOCK, batch_readahead=4,
            fragment_readahead=1, scan_in_order=True,
        )  # fmt: skip
        for each in scanner.to_batches():
            part = pyarrow.Table.from_batches([each])
            found = vectors_of(part, part.schema.field(VECTOR).type.list_size) if vectors else None
            yield _frame(part.select(list(columns))), np.zeros((len(part), 0), np.float32) if found is None else found

    def sample(self) -> tuple[Vectors, int]:
        """Vectors to train an index on, the same every time, and its number of lists."""
        count, width = self.count(), self._dataset.schema.field(VECTOR).type.list_size
        lists = lists_for(count, width)
        places = sample_rows(count, lists)
        found = np.empty((len(places), width), np.float32)
        for first in range(0, len(places), BLOCK):
            part = self._dataset.take(places[first : first + BLOCK].tolist(), columns=[VECTOR])
            found[first : first + BLOCK] = vectors_of(part, width)
        return found, lists


def schema(columns: Sequence[str], dimensions: int) -> Any:
    """The files' columns: `id`, texts, the image's address, the vector."""
    import pyarrow

    kept = [(name, pyarrow.int64() if name == "id" else pyarrow.string()) for name in (*columns, PLACE)]
    return pyarrow.schema([*kept, (VECTOR, pyarrow.list_(pyarrow.float32(), dimensions))])


def batch(rows: pd.DataFrame, vectors: Vectors, wanted: Any) -> Any:
    """Rows and their vectors as a batch of that schema."""
    import pyarrow

    flat = pyarrow.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    columns = {
        name: pyarrow.array(rows[name].tolist(), wanted.field(name).type) for name in wanted.names if name != VECTOR
    }
    columns[VECTOR] = pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    return pyarrow.record_batch([columns[name] for name in wanted.names], schema=wanted)


def vectors_of(found: Any, width: int) -> Vectors:
    """The vectors of a table, float32 [n, width]."""
    if not len(found):
        return np.zeros((0, width), np.float32)
    return np.concatenate([np.asarray(each.flatten()).reshape(-1, width) for each in found[VECTOR].chunks])


def _frame(found: Any) -> pd.DataFrame:
    """A table of ids and texts as pandas holds it."""
    return pd.DataFrame(
        {
            name: found[name].to_numpy() if name == "id" else texts(found[name].to_pylist())
            for name in found.column_names
        }
    )


def words(where: Conditions) -> str | None:
    """Conditions in Lance's SQL; None where there are none."""
    said = [
        f"NOT ({_of(each.column, each.values)})" if each.inverse else _of(each.column, each.values) for each in where
    ]
    return " AND ".join(said) or None


def _of(column: str, values: Sequence[str]) -> str:
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"`{column}` IN ({listed})"


def _among(ids: Sequence[int]) -> str:
    return f"id IN ({', '.join(map(str, map(int, ids)))})"
