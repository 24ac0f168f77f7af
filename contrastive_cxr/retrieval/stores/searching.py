"""A search in one version of a store: candidates of its index, ranked by true distances, k filled where it can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.retrieval.rows import Ids, Vectors, Where
from contrastive_cxr.retrieval.stores.record import StoreRecord
from contrastive_cxr.retrieval.stores.scan import SPARE, ranked, scan
from contrastive_cxr.retrieval.stores.store import Among, Candidates, Conditions, View

FACTOR = {"exact": 1, "hnsw": 1, "ivf-pq": 10}
"""How many times k rows are taken from an index and then ranked by their true distances."""
OWN = 16  # rows of the query's own patient that the first search looks past
TOGETHER = 8  # exact searches from which one pass over all rows is quicker than a search each
_PASS = 256  # queries of one pass: their candidates' vectors are held
_FEW, _FEW_SHARE, _FEW_MOST = 1000, 0.02, 50_000
_LISTED, _LOOKED_AT = 12, 1000


def search(
    view: View, record: StoreRecord, queries: Vectors, k: int, where: Conditions, patients: Sequence[str] | None
) -> tuple[Ids, Vectors]:
    """The k nearest rows of each query in this version.

    A filter that keeps few rows (2 %, or 1,000, at most 50,000) is searched exactly, and so is a query for which the
    index gives too few rows.

    Returns
    -------
    (ids int64 [Q, most], distances float32 [Q, most]); -1 and infinity where no row is left; `most` is k, or the number
    of rows that fit where that is smaller.
    """
    total = view.count()
    fitting = view.count(where) if where else total
    most = min(k, fitting)
    if not most or not len(queries):
        return np.full((len(queries), most), -1, np.int64), np.full((len(queries), most), np.inf, np.float32)
    whose = [""] * len(queries) if patients is None else list(patients)
    few = bool(where) and fitting <= max(_FEW, min(_FEW_SHARE * total, _FEW_MOST))
    if record.kind == "exact" or few:
        return exactly(view, queries, most, where, whose)
    share = fitting / total
    found = [one(view, record, query, most, where, own, share) for query, own in zip(queries, whose, strict=True)]
    ids, gaps = np.stack([each[0] for each in found]), np.stack([each[1] for each in found])
    short = np.flatnonzero(ids[:, -1] < 0)
    if len(short):
        ids[short], gaps[short] = exactly(view, queries[short], most, where, [whose[query] for query in short])
    return ids, gaps


def one(
    view: View, record: StoreRecord, query: Vectors, k: int, where: Conditions, own: str, share: float
) -> tuple[Ids, Vectors]:
    """The k nearest rows of one query by the index: int64 [k] and float32 [k], -1 where it gives too few.

    Where a filter keeps a share of the rows, their nearest are further away: more lists are looked through, and more
    candidates are ranked by their true distances.
    """
    effort = int(min(8.0, 1 / share) * record.effort)
    wide = FACTOR[record.kind] * k
    wide = wide if wide == k else int(min(3.0, 1 / share) * wide)
    ids, gaps = ranked_one(query, view.near(query, max(wide, k + (OWN if own else 0)), where, effort), k, own)
    if ids[-1] < 0 and own:  # more rows of the patient than that: leave them to the store
        also = [*where, Among("patient", (own,), inverse=True)]
        ids, gaps = ranked_one(query, view.near(query, wide, also, effort), k, own)
    return ids, gaps


def exactly(view: View, queries: Vectors, k: int, where: Conditions, patients: Sequence[str]) -> tuple[Ids, Vectors]:
    """As `search`, by comparing all rows that fit."""
    if len(queries) >= TOGETHER or (where and view.filtered_pass):
        cuts = [slice(first, first + _PASS) for first in range(0, len(queries), _PASS)]
        parts = [scan(view.blocks(("id", "patient"), where), queries[cut], k, patients[cut]) for cut in cuts]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    found = []
    for query, own in zip(queries, patients, strict=True):
        also = [*where, Among("patient", (own,), inverse=True)] if own else where
        found.append(ranked_one(query, view.exact(query, k + SPARE, also), k, own))
    return np.stack([each[0] for each in found]), np.stack([each[1] for each in found])


def ranked_one(query: Vectors, candidates: Candidates, k: int, own: str) -> tuple[Ids, Vectors]:
    ids = candidates.ids
    if own:
        ids = np.where(candidates.patients == own, -1, ids)
    found, gaps = ranked(query[None], ids[None], candidates.vectors[None], k)
    return found[0], gaps[0]


def conditions(view: View, columns: Sequence[str], where: Where | None) -> Conditions:
    """A filter as conditions.

    Raises
    ------
    RequestError
        With every column that is not there and every value that no row has; or where no row fits all of them.
    """
    faults, made = [], []
    for column, wanted in (where or {}).items():
        values = (wanted,) if isinstance(wanted, str) else tuple(str(value) for value in wanted)
        if column not in columns or column == "id":
            others = ", ".join(name for name in columns if name != "id")
            faults.append(f"where {column}: no such column{nearest(column, columns)}; the gallery has {others}")
            continue
        made.append(Among(column, values))
        absent = [value for value in values if not view.count([Among(column, (value,))])]
        if absent:
            known = _some_values(view, column)
            listed = ", ".join(repr(each) for each in known[:_LISTED])
            more = " and others" if len(known) > _LISTED else ""
            for value in absent:
                faults.append(f"where {column}={value}: no row has it{nearest(value, known)}; there are {listed}{more}")
    raise_faults(faults)
    if len(made) > 1 and not view.count(made):
        raise RequestError(f"where {dict(where or {})}: no row of the gallery fits all of it; ask for less")
    return made


def _some_values(view: View, column: str) -> list[str]:
    """The first thousand different values of a column, sorted."""
    known: set[str] = set()
    for rows, _ in view.blocks((column,), vectors=False):
        known.update(rows[column].unique().tolist())
        if len(known) > _LOOKED_AT:
            break
    return sorted(known)
