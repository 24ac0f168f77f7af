"""Neighbours against slow loops in plain Python and against pytorch-metric-learning."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.metrics.statistics import intervals


def unit(rows: int, width: int, seed: int) -> Any:
    vectors = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def slow_ranking(gallery: Any, query: Any, allowed: Any) -> list[int]:
    similarity = (gallery.astype(np.float64) @ query.astype(np.float64)).round(6)
    return sorted((i for i in range(len(gallery)) if allowed[i]), key=lambda i: (-similarity[i], i))


@pytest.fixture
def crowd() -> dict[str, Any]:
    """60 images of 12 patients (and unknown ones), 3 classes that show in the vectors; queries are among them."""
    rng = np.random.default_rng(1)
    labels, patients = rng.integers(0, 3, 60), rng.integers(-1, 12, 60)
    vectors = unit(60, 8, 2) + 0.7 * np.eye(3, 8, dtype=np.float32)[labels]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return {"vectors": vectors, "labels": labels, "patients": patients, "ids": np.arange(60)}


def allowed_rows(crowd: dict[str, Any], query: int) -> Any:
    patient = crowd["patients"][query]
    return (crowd["ids"] != query) & ~((crowd["patients"] == patient) & (patient >= 0))


def score(crowd: dict[str, Any], **options: Any) -> neighbours.NeighbourScores:
    return neighbours.scores(
        crowd["vectors"], crowd["labels"], crowd["vectors"], crowd["labels"],
        gallery_ids=crowd["ids"], query_ids=crowd["ids"],
        gallery_patients=crowd["patients"], query_patients=crowd["patients"], **options,
    )  # fmt: skip


@pytest.mark.parametrize("k", [1, 5, 59, 80])
def test_search_is_the_slow_ranking(crowd: dict[str, Any], k: int) -> None:
    ids, similarity = neighbours.search(
        crowd["vectors"], crowd["vectors"], k, gallery_ids=crowd["ids"], query_ids=crowd["ids"],
        gallery_patients=crowd["patients"], query_patients=crowd["patients"],
    )  # fmt: skip
    for query in range(60):
        expected = slow_ranking(crowd["vectors"], crowd["vectors"][query], allowed_rows(crowd, query))[:k]
        assert ids[query].tolist() == expected + [-1] * (k - len(expected))
        there = similarity[query, : len(expected)]
        assert there == pytest.approx(crowd["vectors"][expected] @ crowd["vectors"][query], abs=1e-5)
        assert np.isnan(similarity[query, len(expected) :]).all()


def test_k_is_filled_beyond_a_patient_with_many_images() -> None:
    gallery = np.concatenate([np.repeat(unit(1, 4, 0), 500, axis=0), unit(3, 4, 1)])
    patients = np.array([7] * 500 + [8, 9, -1])
    ids, _ = neighbours.search(gallery, gallery[:1], 3, gallery_patients=patients, query_patients=patients[:1])
    assert sorted(ids[0].tolist()) == [500, 501, 502]


@pytest.mark.parametrize(
    "seed", [0, 373, 1077, 1136, 2770]
)  # all but the first: FAISS alone keeps others of the equals
def test_equal_similarities_rank_by_position(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, k = int(rng.integers(50, 1000)), int(rng.integers(1, 160))
    level = rng.integers(0, int(rng.integers(2, 5)), rows)  # a few directions only, the last the most similar
    gallery = np.stack([np.cos(1 - level / 4), np.sin(1 - level / 4)], axis=1).astype(np.float32)
    ids, _ = neighbours.search(gallery, np.array([[1.0, 0.0]], dtype=np.float32), k)
    assert ids[0].tolist() == np.lexsort((np.arange(rows), -level))[:k].tolist()


def test_unknown_identities_are_not_excluded() -> None:
    unknown = np.full(5, -1)
    vectors = unit(5, 4, 0)
    ids, _ = neighbours.search(
        vectors, vectors, 1, gallery_ids=unknown, query_ids=unknown, gallery_patients=unknown, query_patients=unknown
    )
    assert ids[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_scores_are_slow_loops(crowd: dict[str, Any]) -> None:
    found = score(crowd, k=(1, 5), vote=7)
    for query in range(60):
        ranking = slow_ranking(crowd["vectors"], crowd["vectors"][query], allowed_rows(crowd, query))
        hits = [int(crowd["labels"][i] == crowd["labels"][query]) for i in ranking]
        wanted = sum(hits)
        map_at_r = sum(sum(hits[: i + 1]) / (i + 1) for i in range(wanted) if hits[i]) / wanted
        votes = np.zeros(3)
        for i in ranking[:7]:
            votes[crowd["labels"][i]] += math.exp(float(crowd["vectors"][i] @ crowd["vectors"][query]) / 0.07)
        expected = {
            "recall_at_1": hits[0], "recall_at_5": max(hits[:5]),
            "precision_at_1": hits[0], "precision_at_5": sum(hits[:5]) / 5,
            "r_precision": sum(hits[:wanted]) / wanted, "map_at_r": map_at_r,
            "knn_accuracy": float(votes.argmax() == crowd["labels"][query]),
        }  # fmt: skip
        assert {name: row[query] for name, row in found.per_query.items()} == pytest.approx(expected)
        assert found.votes[query] == pytest.approx(votes / votes.sum(), rel=1e-4)
    for name, row in found.per_query.items():
        assert found.values[name] == {"value": pytest.approx(row.mean()), "n": 60}
    expected_auc = metrics.roc_auc_score(crowd["labels"], found.votes, multi_class="ovr")
    assert found.values["knn_auc"]["value"] == pytest.approx(expected_auc)


def test_map_at_r_and_r_precision_are_pytorch_metric_learnings(crowd: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    accuracy = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator")
    names = ("mean_average_precision_at_r", "r_precision", "precision_at_1")
    calculator = accuracy.AccuracyCalculator(include=names, k="max_bin_count", device=torch.device("cpu"))
    theirs = calculator.get_accuracy(torch.tensor(crowd["vectors"]), torch.tensor(crowd["labels"]))
    ours = score(crowd | {"patients": np.full(60, -1)}).values
    assert ours["map_at_r"]["value"] == pytest.approx(theirs["mean_average_precision_at_r"])
    assert ours["r_precision"]["value"] == pytest.approx(theirs["r_precision"])
    assert ours["precision_at_1"]["value"] == pytest.approx(theirs["precision_at_1"])


def test_a_class_without_possible_neighbour_is_undefined_not_zero() -> None:
    vectors = unit(5, 4, 0)
    labels, patients = np.array([0, 0, 1, 1, 2]), np.array([1, 2, 3, 3, -1])
    found = neighbours.scores(
        vectors, labels, vectors, labels, k=(1,), vote=3, gallery_ids=np.arange(5), query_ids=np.arange(5),
        gallery_patients=patients, query_patients=patients,
    )  # fmt: skip
    for row in found.per_query.values():  # class 1 is one patient, class 2 one image
        assert np.isfinite(row).tolist() == [True, True, False, False, False]
    assert found.values["map_at_r"]["n"] == 2
    assert found.values["knn_auc"]["value"] is None
    assert found.values["knn_auc"]["reason"] == "a class has no query"


def test_fewer_neighbours_than_k_divide_by_those_there_are() -> None:
    vectors, labels = unit(3, 4, 0), np.zeros(3, dtype=np.int64)
    found = neighbours.scores(
        vectors, labels, vectors, labels, k=(10,), classes=2, gallery_ids=np.arange(3), query_ids=np.arange(3)
    )
    assert found.values["precision_at_10"]["value"] == 1.0
    assert found.votes.shape == (3, 2)


def test_distances_are_those_of_the_differences_and_keep_near_neighbours_apart() -> None:
    gallery, queries = unit(6, 16, 0), unit(3, 16, 1)
    queries[0] = gallery[0]
    near = gallery[1].astype(np.float64) + 1e-4 * np.eye(16)[0]  # 1 - cos is about 5e-9 here, which float32 loses
    queries[1] = near / np.linalg.norm(near)
    found = np.array([[0, 3], [1, -1], [5, 2]])
    gaps = neighbours.distances(gallery, queries, found)
    for row, places in enumerate(found):
        for column, place in enumerate(places):
            difference = gallery[place].astype(np.float64) - queries[row].astype(np.float64)
            expected = math.inf if place < 0 else math.sqrt(float((difference**2).sum()))
            assert gaps[row, column] == pytest.approx(expected, rel=1e-3)
    assert gaps[0, 0] == 0
    assert 5e-5 < gaps[1, 0] < 2e-4
    cosine = float(gallery[3].astype(np.float64) @ queries[0].astype(np.float64))
    assert gaps[0, 1] == pytest.approx(math.sqrt(2 - 2 * cosine), rel=1e-5)
    wide = np.hstack([gallery, gallery])  # the vectors of a model lie beside its other outputs, as columns of one array
    np.testing.assert_array_equal(neighbours.distances(wide[:, :16], queries, found), gaps)


@pytest.mark.parametrize(("rows", "queries"), [(0, 3), (3, 0)])
def test_empty_sides(rows: int, queries: int) -> None:
    found = neighbours.scores(
        unit(rows, 4, 0), np.zeros(rows, dtype=np.int64), unit(queries, 4, 0), np.zeros(queries, dtype=np.int64)
    )
    assert all(entry["value"] is None and entry["reason"] for entry in found.values.values())
    assert all(entry["low"] is None for entry in found.with_intervals().values())
    assert neighbours.search(unit(rows, 4, 0), unit(queries, 4, 0), 2)[0].tolist() == [[-1, -1]] * queries


def test_intervals_are_of_the_counted_queries(crowd: dict[str, Any]) -> None:
    found = score(crowd)
    entries = found.with_intervals(crowd["patients"], resamples=200, seed=3)
    row = found.per_query["map_at_r"]
    low, high = intervals.bootstrap(lambda w: (w @ row) / w.sum(1), 60, crowd["patients"], 200, seed=3)
    assert (entries["map_at_r"]["low"], entries["map_at_r"]["high"]) == pytest.approx((float(low), float(high)))
    assert entries["knn_auc"]["low"] < found.values["knn_auc"]["value"] < entries["knn_auc"]["high"]


@pytest.mark.parametrize(
    ("gallery", "queries", "identity", "word"),
    [
        (unit(3, 4, 0), unit(2, 5, 0), {}, "4 wide and query vectors 5"),
        (unit(3, 4, 0), np.full((2, 4), np.nan, dtype=np.float32), {}, "2 of 2 queries"),
        (unit(3, 4, 0), unit(2, 4, 0), {"gallery_ids": np.arange(2)}, r"gallery_ids has shape \[2\]"),
        (np.zeros(4, dtype=np.float32), unit(2, 4, 0), {}, "gallery has shape"),
    ],
)
def test_wrong_arrays_are_named(gallery: Any, queries: Any, identity: Any, word: str) -> None:
    with pytest.raises(CcxrError, match=word):
        neighbours.search(gallery, queries, 1, **identity)
