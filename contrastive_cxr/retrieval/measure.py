"""What a gallery is like: how far apart its own cases lie, and how much of the truth its index finds."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from contrastive_cxr.retrieval.index import FACTOR, Index, exact
from contrastive_cxr.retrieval.near import PatientExclusion, nearest, ranked
from contrastive_cxr.retrieval.rows import Ids, Vectors

AT = 10
_PAIRS, _LEAST = 20_000_000, 500
WANTED = 0.95
_MOST = {"hnsw": 512, "ivf": 256, "ivf-pq": 256}
EQUAL = 1e-5  # distances this close are one: a copy of a row is as good as the row


class Familiar(BaseModel):
    """How far a row of the gallery is from its nearest other row, of another patient where patients are known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    n: Annotated[int, Field(ge=1)] = Field(description="rows measured")
    quantiles: tuple[float, ...] = Field(
        min_length=101, max_length=101, description="distances at 0, 1, ... 100 percent, rising"
    )

    def percentile(self, distances: Vectors) -> Vectors:
        """Share of the gallery's own rows, in percent, that lie nearer to theirs: 0 to 100.

        Linear between the quantiles; a distance below all of them is 0, one above all of them is 100.
        """
        known, inverse = np.unique(np.asarray(self.quantiles, np.float64), return_index=True)
        # of equal quantiles the last: a distance as large as all the gallery's own is not unusual, but not below them
        last = np.append(inverse[1:], 101) - 1
        return np.interp(np.asarray(distances, np.float64), known, last.astype(np.float64)).astype(np.float32)


class Recall(BaseModel):
    """The share of the truly nearest rows that the index gives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Annotated[float, Field(ge=0, le=1)] = Field(description="share, over all queries")
    k: int = Field(description="neighbours a query")
    n: int = Field(description="queries: rows of the gallery, each without itself")


def sample(rows: int) -> Ids:
    """Rows to measure on, rising, the same every time: all of a small gallery, 500 of a large one."""
    count = min(rows, max(_LEAST, _PAIRS // rows))
    return np.sort(np.random.default_rng(0).choice(rows, count, replace=False))


def familiar(vectors: Vectors, patients: Ids) -> Familiar | None:
    """Distances to the nearest other row, exactly; None where there is none.

    Parameters
    ----------
    vectors : float32 [M, D], unit length
    patients : int64 [M], -1 unknown
    """
    if len(vectors) < 2:
        return None
    rows = sample(len(vectors))
    # A row without a patient is a patient of its own: only itself is passed over.
    single = np.arange(len(vectors)) + patients.max(initial=-1) + 1
    whose = np.where(patients >= 0, patients, single)
    index = Index("exact", None, np.arange(len(vectors)))
    _, gaps = nearest(index, vectors, np.ascontiguousarray(vectors[rows]), 1, own=PatientExclusion(whose, whose[rows]))
    return familiar_of(gaps)


def familiar_of(gaps: Vectors) -> Familiar | None:
    """The record of some rows' distances to their nearest; None where none is finite."""
    near = gaps[np.isfinite(gaps)]
    if not len(near):
        return None
    return Familiar(n=len(near), quantiles=tuple(np.quantile(near.astype(np.float64), np.linspace(0, 1, 101)).tolist()))


def tune(index: Index, vectors: Vectors) -> Recall | None:
    """Raise the index's effort until it finds 95 % of the 10 nearest of a sample, or the most is reached.

    Returns what it finds then; None for `exact`, which finds all.
    """
    if index.kind == "exact" or len(vectors) < 2:
        return None
    rows, k = sample(len(vectors)), min(AT, len(vectors) - 1)
    queries = np.ascontiguousarray(vectors[rows])
    own = PatientExclusion(np.arange(len(vectors)), rows)
    _, true = ranked(vectors, queries, exact(vectors, queries, k + 1), k, own)
    count = min(len(vectors), max(FACTOR[index.kind] * k, k + 1))
    while True:
        _, gaps = ranked(vectors, queries, index.nearest(vectors, queries, count), k, own)
        value = float((gaps <= true[:, -1:] + EQUAL).mean())
        if value >= WANTED or 2 * index.effort > _MOST[index.kind]:
            return Recall(value=value, k=k, n=len(rows))
        index.effort *= 2
