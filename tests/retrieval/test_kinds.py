"""Galleries of every kind: searched, filtered, changed, saved, against a loop over all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval import Gallery
from contrastive_cxr.retrieval import index as indexes
from contrastive_cxr.retrieval.index import KINDS
from tests.retrieval.clusters import rows, slow, vectors

COUNT = 1500
EVERY = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, count: int = COUNT) -> Gallery:
    return Gallery.build(vectors(count, 0), rows(count), "a" * 64, kind=kind)


@EVERY
def test_most_of_the_nearest_are_found_and_told_with_true_distances(kind: str) -> None:
    gallery, queries = made(kind), vectors(30, 1)
    found = gallery.search(queries, 10)
    truth = [set(slow(gallery.vectors, query, np.ones(COUNT, bool), 10)) for query in queries]
    share = np.mean([len(true & set(near)) / 10 for true, near in zip(truth, found.positions.tolist(), strict=True)])
    assert share == 1 if kind == "exact" else share >= 0.85
    assert (gallery.recall is None) == (kind == "exact")
    near = gallery.vectors[np.asarray(found.positions)].astype(float)
    np.testing.assert_allclose(found.distances, np.linalg.norm(near - queries[:, None], axis=2), atol=1e-6)
    assert (np.diff(found.distances, axis=1) >= 0).all()


@EVERY
@pytest.mark.parametrize("where", [{"label": "class 1", "split": "val"}, {"label": ["class 0", "class 2"]}])
def test_a_filter_lets_nothing_else_through_and_k_is_filled(kind: str, where: dict[str, str | list[str]]) -> None:
    gallery, queries = made(kind), vectors(12, 2)
    found = gallery.search(queries, 8, where=where)
    table = gallery.rows
    allowed = np.ones(COUNT, bool)
    for column, wanted in where.items():
        allowed &= table[column].isin([wanted] if isinstance(wanted, str) else wanted).to_numpy()
    assert allowed[np.asarray(found.positions)].all()
    assert found.counts.tolist() == [8] * 12
    truth = [slow(gallery.vectors, query, allowed, 8) for query in queries]
    if kind == "exact" or "split" in where:  # few are allowed: every kind is exact then
        assert found.positions.tolist() == truth


@EVERY
def test_own_patients_are_passed_over_and_k_is_filled(kind: str) -> None:
    count = 600
    table = rows(count)
    table.loc[:589, "patient"] = "many"
    gallery = Gallery.build(vectors(count, 0), table, kind=kind)
    queries = vectors(6, 3)
    found = gallery.search(queries, 5, ["many", "many", "", "P148", "nobody", "many"])
    assert found.counts.tolist() == [5] * 6
    for query in (0, 1, 5):
        assert "many" not in found.patients[query].tolist()
        others = table["patient"].to_numpy() != "many"
        # what is left is far away and few: an index gives too little, and an exact search fills the places
        assert found.positions[query].tolist() == slow(gallery.vectors, queries[query], others, 5)


@EVERY
def test_rows_are_removed_and_added(kind: str, tmp_path: Path) -> None:
    gallery, queries = made(kind), vectors(20, 4)
    gone = sorted(set(gallery.search(queries, 2).ids.ravel().tolist()))
    gallery.remove(gone)
    assert len(gallery) == len(gallery.rows) == COUNT - len(gone)
    found = gallery.search(queries, 5)
    assert not set(gone) & set(found.ids.ravel().tolist())
    truth = [set(slow(gallery.vectors, query, np.ones(len(gallery), bool), 5)) for query in queries]
    assert sum(len(true & set(near)) for true, near in zip(truth, found.positions.tolist(), strict=True)) >= 70
    assert gallery.index.gone == (len(gone) if kind == "hnsw" else 0)
    gallery.add(queries, rows(20).drop(columns="id"))
    last = gallery.search(queries, 1, where={"id": [str(number) for number in gallery.rows["id"].tail(20)]})
    assert last.ids[:, 0].tolist() == list(range(int(2 * COUNT + 6), int(2 * COUNT + 26)))
    np.testing.assert_allclose(last.distances, 0, atol=1e-6)
    first = gallery.search(queries, 4)
    gallery.save(tmp_path)
    for mapped in (False, True):
        loaded = Gallery.load(tmp_path, mapped=mapped)
        assert loaded.search(queries, 4).ids.tolist() == first.ids.tolist()
        assert loaded.recall == gallery.recall
        assert not set(gone) & set(loaded.search(queries, 5).ids.ravel().tolist())
    if kind != "exact":
        with pytest.raises(RequestError, match="mapped=True cannot be changed"):
            loaded.remove([7])
    gallery.rebuild()
    assert gallery.index.gone == 0
    assert gallery.index.keys.tolist() == list(range(len(gallery)))


def test_wrong_changes_are_refused_and_change_nothing() -> None:
    gallery = made("exact", 30)
    other = Gallery.build(vectors(30, 5), rows(30), "b" * 64)
    for wrong, words in (
        (lambda: gallery.remove([8]), "1 ids are not in the gallery, such as 8"),
        (lambda: gallery.remove(rows(30)["id"].tolist()), "no row would be left"),
        (lambda: gallery.add(vectors(2, 0), rows(2)), "2 ids are in the gallery already, such as 7"),
        (lambda: gallery.add(vectors(2, 0, width=9), rows(2).drop(columns="id")), "9 dimensions, the gallery 16"),
        (lambda: gallery.add(vectors(2, 0), rows(3).drop(columns="id")), "2 vectors for 3 rows"),
        (lambda: gallery.add(vectors(2, 0), rows(2).drop(columns="id"), "b" * 64), "vectors of two models"),
        (lambda: gallery.merge(other), "vectors of two models"),
        (lambda: gallery.merge(made("exact", 30)), "30 images are in both galleries"),
    ):
        with pytest.raises(RequestError, match=words):
            wrong()
        assert len(gallery) == len(gallery.rows) == 30


def test_merged_galleries_hold_both() -> None:
    first, table = made("exact", 30), rows(20)
    table["path"] = "other/" + table["path"]
    second = Gallery.build(vectors(20, 5), table, "a" * 64)
    first.merge(second)
    assert len(first) == 50
    assert first.rows["id"].is_unique
    found = first.search(vectors(20, 5), 1)
    assert found.paths[:, 0].tolist() == table["path"].tolist()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"lable": "class 1"}, r"where lable: no such column \(did you mean 'label'\?\)"),
        ({"label": "clas 1"}, r"where label=clas 1: no row has it \(did you mean 'class 1'\?\)"),
        ({"label": "class 0", "id": "9"}, "no row of the gallery fits all of it"),
        ({"a": "1", "b": "2"}, r"where a: no such column[\s\S]*where b: no such column"),
    ],
)
def test_wrong_filters_are_named(where: dict[str, str], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        made("exact", 30).search(vectors(1, 0), where=where)


def test_auto_goes_by_size() -> None:
    assert [indexes.kind_for(rows_) for rows_ in (1, 100_000, 100_001, 5_000_000)] == [
        "exact", "exact", "ivf", "ivf-pq"
    ]  # fmt: skip
    with pytest.raises(RequestError, match=r"kind 'hsnw' is not one of .* \(did you mean 'hnsw'\?\)"):
        made("hsnw", 5)


def test_codes_divide_the_width() -> None:
    assert [indexes.codes(width) for width in (512, 8, 10, 7, 1)] == [64, 1, 2, 1, 1]
