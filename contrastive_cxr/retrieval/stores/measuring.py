"""What a gallery in a store is like: how far apart its own cases lie, and how much of the truth its index finds."""

from __future__ import annotations

import numpy as np

from contrastive_cxr.retrieval.index import Kind
from contrastive_cxr.retrieval.measure import AT, EQUAL, WANTED, Familiar, Recall, familiar_of, sample
from contrastive_cxr.retrieval.rows import Ids, Texts, Vectors
from contrastive_cxr.retrieval.stores.record import StoreRecord
from contrastive_cxr.retrieval.stores.scan import Nearest, texts
from contrastive_cxr.retrieval.stores.searching import FACTOR, ranked_one
from contrastive_cxr.retrieval.stores.store import View

START: dict[Kind, int] = {"exact": 0, "hnsw": 40, "ivf-pq": 4}
MOST: dict[Kind, int] = {"exact": 0, "hnsw": 1000, "ivf-pq": 512}


def measured(view: View, record: StoreRecord, kind: Kind) -> StoreRecord:
    """The record with effort, recall and the distances of the gallery's own cases, of a sample of its rows.

    The truth is one exact pass over all rows. The effort is raised until the index finds 95 % of the 10 nearest.
    """
    count = view.count()
    start = record.model_copy(update={"kind": kind, "effort": START[kind], "measured": count, "recall": None})
    if count < 2:
        return start.model_copy(update={"familiar": None})
    ids, patients = sampled(view, sample(count))
    known, vectors = view.vectors(ids.tolist())
    order = np.argsort(known)
    queries = np.ascontiguousarray(vectors[order][np.searchsorted(known[order], ids)])
    k = min(AT, count - 1)
    true, familiar = truth(view, queries, ids, patients, k)
    start = start.model_copy(update={"familiar": familiar})
    if kind == "exact":
        return start
    effort = START[kind]
    while True:
        value = found_share(view, start, queries, ids, true, effort)
        if value >= WANTED or 2 * effort > MOST[kind]:
            recall = Recall(value=value, k=k, n=len(ids))
            return start.model_copy(update={"effort": effort, "recall": recall})
        effort *= 2


def sampled(view: View, places: Ids) -> tuple[Ids, Texts]:
    """Ids and patients of the rows at these places, counted from 0 and rising."""
    first, ids, patients = 0, [], []
    for rows, _ in view.blocks(("id", "patient"), vectors=False):
        own = places[(places >= first) & (places < first + len(rows))] - first
        ids += rows["id"].to_numpy()[own].tolist()
        patients += rows["patient"].to_numpy()[own].tolist()
        first += len(rows)
    return np.array(ids, np.int64), texts(patients)


def truth(view: View, queries: Vectors, ids: Ids, patients: Texts, k: int) -> tuple[Vectors, Familiar | None]:
    """Distances float32 [Q, k] to the k nearest other rows; and those to the nearest row of another patient."""
    nearest, stranger = Nearest(queries, k), Nearest(queries, 1)
    for rows, vectors in view.blocks(("id", "patient")):
        products = queries @ vectors.T
        seen, whose = rows["id"].to_numpy(dtype=np.int64), rows["patient"].to_numpy(dtype=object)
        itself = seen[None, :] == ids[:, None]
        own = np.asarray((whose[None, :] == patients[:, None]) & (patients[:, None] != ""), dtype=bool)
        nearest.see(products, seen, vectors, itself)
        stranger.see(products, seen, vectors, itself | own)
    return nearest.found()[1], familiar_of(stranger.found()[1])


def found_share(view: View, record: StoreRecord, queries: Vectors, ids: Ids, true: Vectors, effort: int) -> float:
    """The share of the truly nearest rows that the index gives at this effort."""
    k = true.shape[1]
    hits = 0
    for query, own, gaps in zip(queries, ids, true, strict=True):
        found = view.near(query, FACTOR[record.kind] * (k + 1), (), effort)
        near, near_gaps = ranked_one(query, found, k + 1, "")
        hits += int(np.count_nonzero(near_gaps[near != own][:k] <= gaps[-1] + EQUAL))
    return hits / true.size
