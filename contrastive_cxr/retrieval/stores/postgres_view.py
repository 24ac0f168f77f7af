"""One version of a gallery in PostgreSQL, to read from: a transaction that sees what was there when it began."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr.retrieval.rows import Ids, Vectors
from contrastive_cxr.retrieval.stores.scan import texts
from contrastive_cxr.retrieval.stores.store import BLOCK, VECTOR, Candidates, Conditions

_READ = 2048  # rows of a pass that are under way


class PostgresView:
    """See `store.View`.

    Parameters
    ----------
    connection : of psycopg, in a transaction of isolation REPEATABLE READ
    table : str
        The gallery's table.
    """

    def __init__(self, connection: Any, table: str, version: str, dimensions: int) -> None:
        from psycopg import sql

        self._sql, self._connection = sql, connection
        self._table, self._version, self._width = sql.Identifier(table), version, dimensions

    @property
    def version(self) -> str:
        """The number of changes since the gallery was made."""
        return self._version

    @property
    def filtered_pass(self) -> bool:
        """The server filters first, and vectors that are not near stay there."""
        return False

    def count(self, where: Conditions = ()) -> int:
        """Number of rows."""
        return int(self._run("SELECT count(*) FROM {table} WHERE {where}", where).fetchone()[0])

    def near(self, query: Vectors, count: int, where: Conditions, effort: int) -> Candidates:
        """About the nearest, by the hnsw index; it goes on until it has enough rows that fit."""
        self._set("hnsw.iterative_scan", "strict_order")
        self._set("hnsw.ef_search", str(min(1000, max(effort, count))))
        return self._nearest(query, count, where)

    def exact(self, query: Vectors, count: int, where: Conditions) -> Candidates:
        """The nearest, by comparing all rows that fit."""
        self._set("enable_indexscan", "off")
        found = self._nearest(query, count, where)
        self._set("enable_indexscan", "on")
        return found

    def _nearest(self, query: Vectors, count: int, where: Conditions) -> Candidates:
        text = "SELECT id, patient, {vector} FROM {table} WHERE {where} ORDER BY {vector} <-> {query} LIMIT {count}"
        found = self._run(text, where, query=self._bound(query), count=self._sql.Literal(count)).fetchall()
        return Candidates(
            np.array([each[0] for each in found], np.int64), texts([each[1] for each in found]), self._stacked(found, 2)
        )

    def rows(self, ids: Sequence[int], columns: Sequence[str]) -> pd.DataFrame:
        """Rows with these ids."""
        listed = self._sql.SQL(", ").join(map(self._sql.Identifier, columns))
        text = "SELECT {columns} FROM {table} WHERE id = ANY({ids})"
        found = self._run(text, columns=listed, ids=self._ids(ids)).fetchall()
        return _frame(found, columns)

    def vectors(self, ids: Sequence[int]) -> tuple[Ids, Vectors]:
        """Ids and vectors."""
        found = self._run("SELECT id, {vector} FROM {table} WHERE id = ANY({ids})", ids=self._ids(ids)).fetchall()
        return np.array([each[0] for each in found], np.int64), self._stacked(found, 1)

    def find(self, column: str, values: Sequence[str]) -> pd.DataFrame:
        """`id` and the column of the rows that have one of the values."""
        name = self._sql.Identifier(column)
        text = "SELECT id, {column} FROM {table} WHERE {column} = ANY({values})"
        found = self._run(text, column=name, values=self._sql.Literal(list(values))).fetchall()
        return _frame(found, ("id", column))

    def blocks(
        self, columns: Sequence[str], where: Conditions = (), *, vectors: bool = True
    ) -> Iterator[tuple[pd.DataFrame, Vectors]]:
        """All rows, some thousand at a time, in the order of their ids, which is that in which they were added."""
        names = [*columns, VECTOR] if vectors else list(columns)
        listed = self._sql.SQL(", ").join(map(self._sql.Identifier, names))
        query = self._composed("SELECT {columns} FROM {table} WHERE {where} ORDER BY id", where, columns=listed)
        with self._connection.cursor(name="ccxr_blocks", binary=True) as cursor:
            cursor.execute(query)
            while found := cursor.fetchmany(_READ if vectors else BLOCK):
                end = len(columns)
                kept = self._stacked(found, end) if vectors else np.zeros((len(found), 0), np.float32)
                yield _frame([each[:end] for each in found], columns), kept

    def _run(self, text: str, where: Conditions = (), **parts: Any) -> Any:
        cursor = self._connection.cursor(binary=True)
        return cursor.execute(self._composed(text, where, **parts))

    def _composed(self, text: str, where: Conditions, **parts: Any) -> Any:
        sql, conditions = self._sql, [self._sql.SQL("true")]
        for each in where:
            told = sql.SQL("{} <> ALL({})" if each.inverse else "{} = ANY({})")
            conditions.append(told.format(sql.Identifier(each.column), sql.Literal(list(each.values))))
        return sql.SQL(text).format(
            table=self._table, vector=sql.Identifier(VECTOR), where=sql.SQL(" AND ").join(conditions), **parts
        )

    def _set(self, name: str, value: str) -> None:
        """A setting of this transaction alone."""
        self._connection.execute("SELECT set_config(%s, %s, true)", (name, value))

    def _ids(self, ids: Sequence[int]) -> Any:
        return self._sql.SQL("{}::bigint[]").format(self._sql.Literal([int(each) for each in ids]))

    def _bound(self, query: Vectors) -> Any:
        return self._sql.SQL("{}::vector").format(self._sql.Literal(str([float(each) for each in query])))

    def _stacked(self, found: Sequence[Sequence[Any]], place: int) -> Vectors:
        if not found:
            return np.zeros((0, self._width), np.float32)
        return np.stack([each[place].to_numpy() for each in found]).astype(np.float32)


def _frame(found: Sequence[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: np.array([each[place] for each in found], np.int64 if name == "id" else object)
            for place, name in enumerate(columns)
        },
        columns=list(columns),
    )
