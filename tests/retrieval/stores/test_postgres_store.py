"""A gallery in a real PostgreSQL server with pgvector, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contrastive_cxr.data.files.store_urls import StoreUrl
from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval import Gallery, StoreGallery, open_gallery
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.stores import postgres_connection
from contrastive_cxr.retrieval.stores.convert import converted
from contrastive_cxr.retrieval.stores.filling import fill
from contrastive_cxr.retrieval.stores.postgres_store import PostgresStore
from tests.retrieval import clusters

psycopg = pytest.importorskip("psycopg")
MODEL = "a" * 64


def filled(url: StoreUrl, count: int = 60, kind: Any = "exact") -> StoreGallery:
    vectors = clusters.vectors(count, 0)
    fill(PostgresStore(url), About(MODEL, {}, "", kind), 16, clusters.rows(count), lambda a, b: vectors[a:b])
    made = open_gallery(str(url))
    assert isinstance(made, StoreGallery)
    return made


def test_a_folder_becomes_tables_and_a_folder_again(url: StoreUrl, tmp_path: Path) -> None:
    first = Gallery.build(clusters.vectors(80, 0), clusters.rows(80), MODEL, kind="exact")
    store = converted(first, None, PostgresStore(url), "hnsw")
    again = converted(store, tmp_path / "folder", None, "exact")
    assert isinstance(again, Gallery)
    assert (np.asarray(again.vectors) == first.vectors).all()
    assert again.rows["id"].tolist() == first.rows["id"].tolist()


def test_the_hnsw_index_answers_and_a_filter_fills_k(url: StoreUrl) -> None:
    made = filled(url, 3000, "hnsw")
    with psycopg.connect(url.conninfo) as connection:
        connection.execute("SET enable_seqscan = off; SET enable_sort = off")
        text = f"EXPLAIN SELECT id FROM ccxr_{url.name} ORDER BY vector <-> '{[0.25] * 16}' LIMIT 5"
        plan = " ".join(row[0] for row in connection.execute(text).fetchall())
    assert f"Index Scan using ccxr_{url.name}_hnsw" in plan
    queries = clusters.vectors(5, 1)
    fits = (clusters.rows(3000)["label"] == "class 2").to_numpy()
    found = made.search(queries, 20, where={"label": "class 2"})
    assert found.counts.tolist() == [20] * 5
    right = [clusters.slow(clusters.vectors(3000, 0), query.astype(float), fits, 20) for query in queries]
    hits = [len(set((row - 7) // 2) & set(true)) for row, true in zip(found.ids, right, strict=True)]
    assert sum(hits) >= 95


def test_a_server_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the server does not answer") as caught:
        open_gallery("postgresql://me:sesame@127.0.0.1:9/db?connect_timeout=2")
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_password_is_needed_wrong_and_never_told(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'open sesame'")
        connection.execute("GRANT ALL ON SCHEMA public TO guest")
        rules = Path(connection.execute("SHOW hba_file").fetchone()[0])
        before = rules.read_text()
        rules.write_text(f"local all guest scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
    host = server.get_uri().partition("?")[2]
    plain, wrong = (
        f"postgresql://guest@/postgres?{host}&gallery=guests",
        f"postgresql://guest:wr%20ong@/postgres?{host}",
    )
    try:
        with pytest.raises(RequestError, match="set PGPASSWORD, or write it into"):
            open_gallery(plain)
        with pytest.raises(RequestError, match="refuses this user") as caught:
            open_gallery(wrong)
        assert "wr%20ong" not in str(caught.value)
        assert "wr ong" not in str(caught.value)
        monkeypatch.setenv("PGPASSWORD", "open sesame")
        made = filled(StoreUrl(plain))
        assert len(made) == 60
        monkeypatch.delenv("PGPASSWORD")
        given = StoreUrl(f"postgresql://guest:open%20sesame@/postgres?{host}&gallery=guests")
        assert len(open_gallery(given)) == 60
        assert "sesame" not in f"{given} {given!r} {PostgresStore(given)} {caplog.text} {vars(made.record)}"
    finally:
        rules.write_text(before)


def test_a_database_without_the_extension_and_one_without_a_gallery(server: Any, url: StoreUrl) -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS bare")
        connection.execute("CREATE DATABASE bare")
    bare = server.get_uri().replace("/postgres?", "/bare?")
    with pytest.raises(RequestError, match=r"has no extension vector there; an administrator installs pgvector"):
        open_gallery(bare)
    with pytest.raises(RequestError, match="has no such database"):
        open_gallery(server.get_uri().replace("/postgres?", "/nowhere?"))
    filled(StoreUrl(bare))  # making a gallery adds the extension
    assert len(open_gallery(bare)) == 60
    with pytest.raises(RequestError, match=f"holds no gallery '{url.name}'"):
        open_gallery(url)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE {table} DROP COLUMN patient", "has no column 'patient', which the record names"),
        ("DROP TABLE {table}", "has no column 'id'"),
        (
            "ALTER TABLE {table} DROP COLUMN vector; ALTER TABLE {table} ADD COLUMN vector vector(8)",
            r"the record says vector\(16\), the table has vector\(8\)",
        ),
        ("""UPDATE {table}_about SET record = jsonb_set(record, '{{format}}', '0')""", "a store of an older version"),
        ("""UPDATE {table}_about SET record = '[]'""", "its record is damaged"),
    ],
)
def test_a_changed_table_is_refused(url: StoreUrl, change: str, said: str) -> None:
    filled(url)
    with psycopg.connect(url.conninfo, autocommit=True) as connection:
        connection.execute(change.format(table=f"ccxr_{url.name}"))
    with pytest.raises(RequestError, match=said):
        open_gallery(url)


def test_a_read_only_server_can_be_searched(url: StoreUrl) -> None:
    filled(url)
    made = open_gallery(f"{url.conninfo}&options=-c%20default_transaction_read_only%3Don&gallery={url.name}")
    assert made.search(clusters.vectors(1, 0), 2).counts.tolist() == [2]
    with pytest.raises(RequestError, match="the server is read-only"):
        made.remove([7])  # type: ignore[attr-defined]


def test_a_lost_connection_is_made_anew(url: StoreUrl) -> None:
    made = filled(url)
    with psycopg.connect(url.conninfo, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ccxr'")
    with pytest.raises(Exception, match=r"does not answer|PostgreSQL says"):
        len(made)
    assert len(made) == 60


def test_vectors_that_pgvector_does_not_index_are_refused(url: StoreUrl) -> None:
    with pytest.raises(RequestError, match="pgvector indexes up to 2000: use lance"):
        fill(PostgresStore(url), About(MODEL), 2001, clusters.rows(3), lambda a, b: np.zeros((b - a, 2001), np.float32))


def test_without_psycopg_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connection.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"needs psycopg and pgvector, which are not installed: pip install"):
        open_gallery("postgresql://h/d")
