"""Exact nearest neighbours through FAISS, and the scores of an embedding that are computed from them.

Similarity is the cosine: vectors are brought to unit length here. An image is never its own neighbour (same id), nor is
another image of the same patient where both patients are known. Equal similarities rank by position in the gallery.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import faiss as _faiss
import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics import nearest, ranking
from contrastive_cxr.metrics.statistics import intervals
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints, ratio

faiss: Any = _faiss  # its own types lack half of it
Vectors = NDArray[np.float32]
_BLOCK = 4_000_000  # neighbours held at once


class Identity(TypedDict, total=False):
    """Who a row is, int64 [M] or [Q]; -1 (or left out): unknown, and never excluded."""

    gallery_ids: Ints | None
    query_ids: Ints | None
    gallery_patients: Ints | None
    query_patients: Ints | None


@dataclass(frozen=True)
class NeighbourScores:
    """Neighbour scores of Q queries.

    Attributes
    ----------
    values : {name: {value, n}}, n the queries counted; value None where there are none
    per_query : {name: float64 [Q]}, nan for a query whose class has no possible neighbour
    votes : float64 [Q, C], class shares of the `vote` nearest, weighted by similarity; zeros without neighbours
    labels : int64 [Q]
    similarity : float32 [Q, V], cosines of the neighbours that vote, nearest first; nan where there is none
    """

    values: dict[str, dict[str, Any]]
    per_query: dict[str, Floats]
    votes: Floats
    labels: Ints
    similarity: Vectors

    def familiarity(self) -> Floats:
        """Mean cosine of each query to the neighbours that vote, float64 [Q]; -1 for a query without any."""
        there = np.isfinite(self.similarity)
        sums = np.where(there, self.similarity, 0.0).sum(1, dtype=np.float64)
        return np.where(there.any(1), sums / np.maximum(there.sum(1), 1), -1.0)

    def with_intervals(self, groups: Ints | None = None, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
        """`values` with `low`, `high`: the 95 % interval of a bootstrap over `groups` (the queries' patients).

        Rates (`recall_at_k`, `knn_accuracy`) also have `successes` and `wilson`, as in `scores.classification`.
        """
        counted = np.isfinite(self.per_query["knn_accuracy"])
        owners = None if groups is None else groups[counted]
        names = list(self.per_query)
        table = np.stack([self.per_query[name][counted] for name in names], axis=1)
        votes, labels = self.votes[counted], self.labels[counted]

        def columns(weights: Floats) -> Floats:
            means = ratio(weights @ table, weights.sum(1, keepdims=True))
            return np.column_stack([means, ranking.vote_auc(votes, labels, weights)])

        low, high = intervals.bootstrap(columns, len(labels), owners, resamples, seed)
        ends = {name: intervals.known(*pair) for name, *pair in zip([*names, "knn_auc"], low, high, strict=True)}
        entries = {name: entry | ends[name] for name, entry in self.values.items()}
        numbers = intervals.group_numbers(owners, len(labels))
        for place, name in enumerate(names):
            if name.startswith(("recall_at_", "knn_accuracy")):  # a query is right or wrong
                intervals.add_rate(entries[name], table[:, place] > 0, numbers)
        return entries


@dataclass(frozen=True)
class _Pool:
    """A FAISS index and who its rows are."""

    index: Any
    ids: Ints
    patients: Ints

    def nearest(self, queries: Vectors, ids: Ints, patients: Ints, depth: int) -> tuple[Ints, Vectors]:
        """The `depth` nearest allowed rows, excluded ones behind them as -1 / nan; ties by position."""
        similarity, found = self.index.search(queries, depth)
        tied = np.flatnonzero((np.diff(similarity, axis=1) == 0).any(1))
        order = np.lexsort((found[tied], -similarity[tied]), axis=1)
        found[tied] = np.take_along_axis(found[tied], order, axis=1)
        same = (self.ids[found] == ids[:, None]) & (ids[:, None] >= 0)
        same |= (self.patients[found] == patients[:, None]) & (patients[:, None] >= 0)
        same |= found < 0  # FAISS answers -1 where it has no more: gallery[-1] would be the last row
        found[same], similarity[same] = -1, np.nan
        front = np.argsort(same, axis=1, kind="stable")
        return np.take_along_axis(found, front, axis=1), np.take_along_axis(similarity, front, axis=1)


def search(gallery: Vectors, queries: Vectors, k: int, **identity: Unpack[Identity]) -> tuple[Ints, Vectors]:
    """The `k` nearest gallery rows of each query, most similar first.

    Parameters
    ----------
    gallery, queries : float32 [M, D], [Q, D]
    k : neighbours wanted; filled from further away where near ones are excluded
    **identity : `gallery_ids`, `query_ids`, `gallery_patients`, `query_patients`, see `Identity`

    Returns
    -------
    (ids int64 [Q, k], similarity float32 [Q, k]): positions in `gallery` and cosines; -1 and nan where there are none.

    Raises
    ------
    CcxrError
        Where widths or lengths disagree or a vector is not finite.
    """
    vectors, queries, who = _prepared(gallery, queries, identity)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    pool = _Pool(index, who["gallery_ids"], who["gallery_patients"])
    ids, patients, rows = who["query_ids"], who["query_patients"], len(vectors)
    best = np.full((len(queries), k), -1, dtype=np.int64)
    similarity = np.full((len(queries), k), np.nan, dtype=np.float32)
    pending, depth = np.arange(len(queries)), min(rows, 2 * k + 8)
    while len(pending) and depth:
        left = []
        for block in _blocks(pending, depth):
            found, near = pool.nearest(queries[block], ids[block], patients[block], depth)
            width = min(k, depth)
            best[block, :width], similarity[block, :width] = found[:, :width], near[:, :width]
            # an equal row beyond the depth could have come first, so the last one seen must lie further away
            full = found[:, width - 1] >= 0
            full &= near[:, width - 1] > _last(near)
            left.append(block[~full])
        pending = np.concatenate(left) if depth < rows else pending[:0]
        depth = min(rows, 4 * depth)
    return best, similarity


def distances(gallery: Vectors, queries: Vectors, found: Ints) -> Vectors:
    """The distance of each query to gallery rows: Euclidean between the vectors, `sqrt(2 - 2 cos)` at unit length.

    This is the distance of every page, table and search (docs/reference/retrieval.md). It is computed from the
    differences of the vectors, because `sqrt(2 - 2 cos)` in float32 loses half its digits for near neighbours.

    Parameters
    ----------
    gallery, queries : float32 [M, D], [Q, D], unit length
    found : int64 [Q, W], positions in `gallery`, -1 where there is none

    Returns
    -------
    float32 [Q, W]
        From 0 to 2; infinity where the position is -1.
    """
    gaps = np.empty(found.shape, np.float32)
    flat = np.ascontiguousarray(np.maximum(found, 0).ravel())
    who = np.repeat(np.arange(len(queries)), found.shape[1])
    left, right = np.ascontiguousarray(queries), np.ascontiguousarray(gallery)
    pairs = (left, who, right, flat, gaps)
    faiss.pairwise_indexed_L2sqr(left.shape[1], len(flat), *(faiss.swig_ptr(each) for each in pairs))
    np.sqrt(gaps, out=gaps)
    gaps[found < 0] = np.inf
    return gaps


def scores(
    gallery: Vectors,
    gallery_labels: Ints,
    queries: Vectors,
    query_labels: Ints,
    *,
    k: Sequence[int] = (1, 5, 10),
    vote: int = 20,
    classes: int | None = None,
    **identity: Unpack[Identity],
) -> NeighbourScores:
    """Neighbour scores of an embedding, exact at any size: blocks of queries on all cores, no matrix of all pairs.

    `recall_at_k`: one of the k nearest has the query's class; `precision_at_k`: their share; `r_precision`: the share
    among the R nearest, R the gallery rows of its class that are allowed; `map_at_r`: Musgrave et al. 2020 (A Metric
    Learning Reality Check); `knn_accuracy`, `knn_auc`: of the similarity-weighted vote of the `vote` nearest.

    Costs 2 Q M D operations and a partial sort of each query's M similarities; beside the unit vectors some 64 MiB
    (`nearest.BLOCK_BYTES`). Measured in benchmarks/results/neighbour_metrics.json.

    Parameters
    ----------
    gallery, queries : float32 [M, D], [Q, D]
    gallery_labels, query_labels : int64 [M], [Q]
    classes : number of classes; None: the largest label plus 1
    **identity : see `Identity`
    """
    vectors, queries, who = _prepared(gallery, queries, identity)
    if classes is None:
        classes = int(max(gallery_labels.max(initial=0), query_labels.max(initial=0))) + 1
    barred = Barred(who)
    sizes = np.bincount(gallery_labels[gallery_labels >= 0], minlength=int(query_labels.max(initial=0)) + 1)
    wanted = sizes[query_labels]
    table = np.full((len(queries), 2 * len(k) + 2), np.nan)
    labels, near = np.full((len(queries), vote), -1, np.int64), np.full((len(queries), vote), np.nan, np.float32)

    def depth(query: int, excluded: Ints) -> int:
        wanted[query] -= np.count_nonzero(gallery_labels[excluded] == query_labels[query])
        return max(int(wanted[query]), vote, *k)

    def take(query: int, found: nearest.Ranked) -> None:
        theirs = gallery_labels[found.rows]
        table[query] = ranking.scores(theirs == query_labels[query], int(wanted[query]), found.available, k)
        first = min(vote, len(theirs))
        labels[query, :first], near[query, :first] = theirs[:first], found.similarity[found.rows[:first]]

    nearest.ranked(vectors, queries, barred.rows, depth, take)
    votes = ranking.votes(labels, near, classes)
    per_query: dict[str, Floats] = dict(zip(ranking.names(k), table.T.copy(), strict=True))
    correct = (votes.argmax(1) == query_labels).astype(float)
    per_query["knn_accuracy"] = np.where(np.isfinite(per_query["map_at_r"]), correct, np.nan)
    return NeighbourScores(values_of(per_query, votes, query_labels), per_query, votes, query_labels, near)


class Barred:
    """The gallery rows that do not count for a query: itself, and those of its patient."""

    def __init__(self, who: dict[str, Ints]) -> None:
        self._ids = nearest.Members(who["gallery_ids"], who["query_ids"])
        self._patients = nearest.Members(who["gallery_patients"], who["query_patients"])

    def rows(self, query: int) -> Ints:
        """Positions int64 [n], each once."""
        own, same = self._patients.rows(query), self._ids.rows(query)
        if not len(own) or not len(same):
            return own if len(own) else same
        return np.union1d(own, same)


def values_of(per_query: dict[str, Floats], votes: Floats, labels: Ints) -> dict[str, dict[str, Any]]:
    """`NeighbourScores.values` of what each query has; `knn_accuracy` stands among it."""
    values: dict[str, dict[str, Any]] = {}
    for name, row in per_query.items():
        counted = row[np.isfinite(row)]
        values[name] = {"value": float(counted.mean()) if len(counted) else None, "n": len(counted)}
    counted = np.isfinite(per_query["knn_accuracy"])
    area = float(ranking.vote_auc(votes[counted], labels[counted], np.ones((1, counted.sum())))[0])
    values["knn_auc"] = {"value": area if np.isfinite(area) else None, "n": int(counted.sum())}
    for entry in values.values():
        if entry["value"] is None:
            entry["reason"] = "no query has a neighbour of its class" if not entry["n"] else "a class has no query"
    return values


def _last(similarity: Vectors) -> Vectors:
    """Smallest similarity of each row's allowed neighbours; inf where there are none."""
    return np.asarray(np.where(np.isnan(similarity), np.inf, similarity).min(axis=1))


def _blocks(rows: Ints, width: int) -> Iterator[Ints]:
    size = max(1, _BLOCK // max(1, width))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _prepared(gallery: Vectors, queries: Vectors, identity: Identity) -> tuple[Vectors, Vectors, dict[str, Ints]]:
    """Both sides at unit length, and who they are."""
    same = gallery is queries
    gallery = unit(gallery, "gallery")
    queries = gallery if same else unit(queries, "queries")
    if gallery.shape[1] != queries.shape[1]:
        raise CcxrError(
            f"gallery vectors are {gallery.shape[1]} wide and query vectors {queries.shape[1]}; "
            "take both from one model"
        )
    return (
        gallery,
        queries,
        {
            name: _identity(identity.get(name), name, len(gallery if name.startswith("gallery") else queries))
            for name in Identity.__annotations__
        },
    )


def _identity(values: object, name: str, n: int) -> Ints:
    numbers = np.full(n, -1, dtype=np.int64) if values is None else np.asarray(values, dtype=np.int64)
    if numbers.shape != (n,):
        raise CcxrError(f"{name} has shape {list(numbers.shape)}; {n} vectors need [{n}]")
    return numbers


def unit(vectors: Vectors, name: str) -> Vectors:
    """The vectors at unit length, float32 [N, D]; a vector of zeros stays one; `name` is theirs in an error."""
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2:
        raise CcxrError(f"{name} has shape {list(vectors.shape)}; vectors are [rows, width]")
    if not np.isfinite(vectors).all():
        bad = int((~np.isfinite(vectors)).any(1).sum())
        raise CcxrError(f"{bad} of {len(vectors)} {name} vectors are not finite; the model that made them diverged")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors / np.where(lengths > 0, lengths, 1.0))
