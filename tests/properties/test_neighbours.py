"""Neighbours among any vectors, copies and opposite ones among them, against brute force."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_cxr.metrics import neighbours
from contrastive_cxr.retrieval import Gallery

NEAR = 1e-5  # similarities that are one number up to rounding


class Crowd(NamedTuple):
    """Unit vectors of a gallery and of queries, and whose they are."""

    gallery: Any
    queries: Any
    patients: Any
    asking: Any
    labels: Any


@st.composite
def crowds(draw: st.DrawFn) -> Crowd:
    """1 to 40 rows in few directions, so that many are equal."""
    rows, asked = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    grid = np.array(draw(st.lists(st.integers(-2, 2), min_size=24, max_size=24)), dtype=np.float32).reshape(8, 3)
    grid[(grid == 0).all(1)] = 1
    grid /= np.linalg.norm(grid, axis=1, keepdims=True)
    which = draw(st.lists(st.integers(0, 7), min_size=rows + asked, max_size=rows + asked))
    who = np.array(draw(st.lists(st.integers(-1, 5), min_size=rows + asked, max_size=rows + asked)))
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=rows + asked, max_size=rows + asked)))
    vectors = grid[which]
    return Crowd(vectors[:rows], vectors[rows:], who[:rows], who[rows:], labels)


def check(crowd: Crowd, query: int, found: list[int], allowed: Any, k: int) -> None:
    """What is found is what a loop over all rows finds; equal rows by position."""
    similarity = crowd.gallery.astype(np.float64) @ crowd.queries[query].astype(np.float64)
    assert len(found) == min(k, int(allowed.sum())), "k is filled as far as rows are allowed"
    assert len(set(found)) == len(found)
    assert all(allowed[row] for row in found)
    best = np.sort(similarity[allowed])[::-1][: len(found)]
    np.testing.assert_allclose(similarity[found], best, atol=NEAR)
    for place, row in enumerate(found):
        copies = np.flatnonzero((crowd.gallery == crowd.gallery[row]).all(1) & allowed)
        before = [int(copy) for copy in copies if copy < row]
        assert [other for other in found[:place] if other in copies] == before, "copies come by position"


@given(crowds(), st.integers(1, 50))
def test_search_is_brute_force(crowd: Crowd, k: int) -> None:
    rows, similarity = neighbours.search(
        crowd.gallery, crowd.queries, k, gallery_patients=crowd.patients, query_patients=crowd.asking
    )
    for query, patient in enumerate(crowd.asking):
        allowed = (crowd.patients != patient) | (patient < 0)
        found = rows[query][rows[query] >= 0].tolist()
        check(crowd, query, found, allowed, k)
        assert (rows[query, len(found) :] == -1).all(), "places without a row are behind"
        assert np.isnan(similarity[query, len(found) :]).all()


@pytest.mark.parametrize("kind", ["exact", "hnsw", "ivf"])
@given(crowd=crowds(), k=st.integers(1, 50), label=st.integers(0, 2))
def test_a_gallery_finds_what_brute_force_finds(kind: str, crowd: Crowd, k: int, label: int) -> None:
    labels = crowd.labels[: len(crowd.gallery)]
    table = pd.DataFrame({"label": labels.astype(str), "patient": [names(number) for number in crowd.patients]})
    gallery = Gallery.build(crowd.gallery, table, kind=kind)
    where = {"label": str(label)} if (labels == label).any() else None
    found = gallery.search(crowd.queries, k, [names(number) for number in crowd.asking], where=where)
    for query, patient in enumerate(crowd.asking):
        allowed = (crowd.patients != patient) | (patient < 0)
        allowed &= (labels == label) | (where is None)
        positions = found.of(query)["position"].tolist()
        if kind == "exact":
            check(crowd, query, positions, allowed, k)
        assert len(positions) == min(k, int(allowed.sum()))
        assert allowed[positions].all()


@given(crowds(), st.randoms(use_true_random=False))
def test_scores_keep_their_bounds_and_know_no_order_of_queries(crowd: Crowd, rng: Any) -> None:
    split = len(crowd.gallery)
    whose = {"gallery_patients": crowd.patients, "query_patients": crowd.asking}
    first = neighbours.scores(crowd.gallery, crowd.labels[:split], crowd.queries, crowd.labels[split:], **whose)
    for name, entry in first.values.items():
        assert entry["value"] is None or 0 <= entry["value"] <= 1 + 1e-12, name
    order = np.arange(len(crowd.queries))
    rng.shuffle(order)
    whose["query_patients"] = crowd.asking[order]
    again = neighbours.scores(
        crowd.gallery, crowd.labels[:split], crowd.queries[order], crowd.labels[split:][order], **whose
    )
    for name, entry in first.values.items():
        assert again.values[name]["n"] == entry["n"], name
        assert again.values[name]["value"] == (entry["value"] and pytest.approx(entry["value"])), name


@given(crowds())
def test_a_class_of_its_own_is_a_perfect_neighbourhood(crowd: Crowd) -> None:
    # each direction a class: the R nearest of a query are the copies of its own
    directions, classes = np.unique(np.concatenate([crowd.gallery, crowd.queries]), axis=0, return_inverse=True)
    labels = classes.reshape(-1)
    split = len(crowd.gallery)
    found = neighbours.scores(crowd.gallery, labels[:split], crowd.queries, labels[split:], classes=len(directions))
    for name in ("map_at_r", "r_precision", "recall_at_1"):
        value = found.values[name]["value"]
        assert value is None or value == pytest.approx(1), name


def names(number: int) -> str:
    """A patient's name; '' where the patient is unknown."""
    return f"p{number}" if number >= 0 else ""
