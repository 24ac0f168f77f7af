"""A gallery in PostgreSQL with pgvector: a table of rows and vectors, and one of a single row, the record."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd

from contrastive_cxr.data.files.store_urls import StoreUrl
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.retrieval.index import Kind
from contrastive_cxr.retrieval.rows import Vectors
from contrastive_cxr.retrieval.stores.postgres_connection import connect, said
from contrastive_cxr.retrieval.stores.postgres_view import PostgresView
from contrastive_cxr.retrieval.stores.record import StoreName, StoreRecord, parse
from contrastive_cxr.retrieval.stores.store import PLACE, VECTOR

WIDEST = 2000
"""Numbers of a vector that pgvector's hnsw takes."""
_INDEXED = ("label", "patient", "split", "digest", PLACE)
_COLUMNS = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)
_INLINE = 1200  # numbers of a vector that fit into a page beside the texts
_KEY = 0x63637872  # the first half of the advisory locks of this program


class PostgresStore:
    """A gallery's tables; see `store.Store`."""

    kind_of_store: StoreName = "postgresql"

    def __init__(self, url: StoreUrl) -> None:
        self.url = url
        self._table, self._about = f"ccxr_{url.name}", f"ccxr_{url.name}_about"
        self._open: Any = None
        self._guard = threading.RLock()
        self._width = 0
        self._create = False

    def __str__(self) -> str:
        return str(self.url)

    def record(self) -> StoreRecord:
        """The record, checked against the table's columns."""
        with self._connection() as connection:
            found = self._found(connection)
            if found is None:
                raise RequestError(
                    f"{self}: holds no gallery '{self.url.name}'; make one with ccxr index ... --store {self}"
                )
            record, whole = found
            if not whole:
                raise RequestError(f"{self}: its gallery is unfinished; run the same ccxr index again, it goes on")
            raise_faults(self._drifted(connection, record))
        self._width = record.dimensions
        return record

    @contextmanager
    def view(self) -> Iterator[PostgresView]:
        """The newest version: a transaction that sees what was there when it began, and writes nothing."""
        with self._connection() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            row = connection.execute(self._sql("SELECT version FROM {about}")).fetchone()
            yield PostgresView(connection, self._table, str(row[0]), self._width)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the gallery by a lock of the server, which ends with the connection."""
        self._create = True
        with self._connection() as connection:
            keys = (_KEY, zlib.crc32(self.url.name.encode()) - 2**31)
            if not connection.execute("SELECT pg_try_advisory_lock(%s, %s)", keys).fetchone()[0]:
                raise RequestError(f"{self}: another process is writing to the gallery; wait until it ends")
            try:
                yield
            finally:
                if not connection.broken:
                    connection.execute("SELECT pg_advisory_unlock(%s, %s)", keys)

    def begin(self, record: StoreRecord) -> int:
        """Make the tables, or go on with those of the same source."""
        if record.dimensions > WIDEST:
            raise RequestError(f"vectors have {record.dimensions} numbers; pgvector indexes up to {WIDEST}: use lance")
        self._width = record.dimensions
        with self._connection() as connection:
            found = self._found(connection)
            if found is None:
                self._make(connection, record)
                return 0
            if found[1]:
                raise RequestError(
                    f"{self}: holds a gallery already; name another with ?gallery=NAME, or drop its tables"
                )
            if found[0].source != record.source:
                raise RequestError(
                    f"{self}: holds an unfinished gallery of other images or another model; name another with "
                    f"?gallery=NAME, or drop the tables {self._table} and {self._about}"
                )
            return int(connection.execute(self._sql("SELECT count(*) FROM {table}")).fetchone()[0])

    def append(self, blocks: Iterable[tuple[pd.DataFrame, Vectors]]) -> None:
        """Add rows as one new version."""
        with self._connection() as connection, connection.transaction():
            for rows, vectors in blocks:
                names = [name for name in rows.columns if name != "id"]
                text = self._sql("COPY {table} ({columns}) FROM STDIN WITH (FORMAT BINARY)", ["id", *names, VECTOR])
                with connection.cursor() as cursor, cursor.copy(text) as copy:
                    copy.set_types(["int8", *["text"] * len(names), "vector"])
                    kept = [rows[name].tolist() for name in names]
                    for line in zip(rows["id"].tolist(), *kept, vectors, strict=True):
                        copy.write_row(line)
            self._next_version(connection)

    def delete(self, ids: Sequence[int]) -> None:
        """Take rows out as one new version."""
        with self._connection() as connection, connection.transaction():
            connection.execute(self._sql("DELETE FROM {table} WHERE id = ANY(%s)"), (list(map(int, ids)),))
            self._next_version(connection)

    def build_index(self, kind: Kind, columns: Sequence[str]) -> Mapping[str, str]:
        """Build the indexes, with the server's own memory (maintenance_work_mem); searches go on meanwhile."""
        with self._connection() as connection:
            for name in (*columns, PLACE):
                if name in _INDEXED:
                    text = "CREATE INDEX IF NOT EXISTS {index} ON {table} ({columns})"
                    connection.execute(self._sql(text, [name], f"{self._table}_{name}"))
            with connection.transaction():  # the old one stays until the new one is whole
                connection.execute(self._sql("DROP INDEX IF EXISTS {index}", index=f"{self._table}_hnsw"))
                if kind == "hnsw":
                    text = "CREATE INDEX {index} ON {table} USING hnsw ({columns} vector_l2_ops)"
                    connection.execute(self._sql(text, [VECTOR], f"{self._table}_hnsw"))
            connection.execute(self._sql("ANALYZE {table}"))
            found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
            server = ".".join(map(str, divmod(connection.info.server_version, 10_000)))
        return {"postgresql": server, "pgvector": str(found[0])}

    def write_record(self, record: StoreRecord) -> None:
        """Write the record; the gallery is then finished."""
        with self._connection() as connection:
            text = "UPDATE {about} SET record = %s, whole = true, version = version + 1"
            connection.execute(self._sql(text), (record.model_dump_json(),))

    def _make(self, connection: Any, record: StoreRecord) -> None:
        from psycopg import sql

        columns: list[Any] = [sql.SQL("id bigint PRIMARY KEY")]
        columns += [sql.SQL("{} text NOT NULL").format(sql.Identifier(name)) for name in (*record.columns[1:], PLACE)]
        columns.append(sql.SQL("{} vector({}) NOT NULL").format(sql.Identifier(VECTOR), sql.Literal(record.dimensions)))
        with connection.transaction():
            text = sql.SQL("CREATE TABLE {} ({})")
            connection.execute(text.format(sql.Identifier(self._table), sql.SQL(", ").join(columns)))
            if record.dimensions <= _INLINE:  # looked up outside the row, each comparison would cost a second read
                connection.execute(self._sql("ALTER TABLE {table} ALTER COLUMN {columns} SET STORAGE PLAIN", [VECTOR]))
            connection.execute(self._sql("CREATE TABLE {about} (record jsonb NOT NULL, whole boolean, version bigint)"))
            connection.execute(self._sql("INSERT INTO {about} VALUES (%s, false, 0)"), (record.model_dump_json(),))

    def _found(self, connection: Any) -> tuple[StoreRecord, bool] | None:
        """The record and whether the gallery is finished; None where there is none."""
        known = connection.execute("SELECT to_regclass(%s)", (f'"{self._about}"',)).fetchone()[0]
        row = None if known is None else connection.execute(self._sql("SELECT record, whole FROM {about}")).fetchone()
        if row is None:
            return None
        content = json.loads(row[0]) if isinstance(row[0], str) else row[0]
        return parse(str(self), content), bool(row[1])

    def _drifted(self, connection: Any, record: StoreRecord) -> list[str]:
        """What the table's columns lack of those that the record names, and another length of the vectors."""
        types = dict(connection.execute(_COLUMNS, (f'"{self._table}"',)).fetchall())
        faults = [
            f"{self}: the table {self._table} has no column '{name}', which the record names"
            for name in (*record.columns, PLACE, VECTOR)
            if name not in types
        ]
        if types.get(VECTOR, f"vector({record.dimensions})") != f"vector({record.dimensions})":
            faults.append(f"{self}: the record says vector({record.dimensions}), the table has {types[VECTOR]}")
        return [f"{fault}; another program changed it: make the gallery again" for fault in faults]

    def _next_version(self, connection: Any) -> None:
        connection.execute(self._sql("UPDATE {about} SET version = version + 1"))

    def _sql(self, text: str, columns: Sequence[str] = (), index: str = "") -> Any:
        """SQL with the names of the tables, some columns and an index put in, quoted."""
        from psycopg import sql

        listed = sql.SQL(", ").join(map(sql.Identifier, columns))
        names = {"table": sql.Identifier(self._table), "about": sql.Identifier(self._about)}
        return sql.SQL(text).format(**names, columns=listed, index=sql.Identifier(index[:63] or "none"))

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """The connection of this process, one user at a time; made anew where it was lost."""
        with self._guard:
            if self._open is None or self._open.closed or self._open.broken:
                self._open = connect(self.url, create=self._create)
            with said(self.url):
                yield self._open
