"""What a search found, and what the neighbours say together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr.retrieval.rows import Ids, Vectors

# Under a mask lies a row number that no gallery has: used by mistake it is an error, where -1 would be the last row.
NOWHERE = np.iinfo(np.int64).max
Masked = np.ma.MaskedArray[Any, Any]


@dataclass(frozen=True)
class SearchResult:
    """The nearest rows of each query, nearest first.

    The arrays are masked: where fewer than k rows are left for a query (its own patient's do not count, a filter allows
    no more), its last places are masked and hold no row. `counts` says how many there are.

    Attributes
    ----------
    ids : int64 [Q, k], masked
    labels, paths, patients : str [Q, k], masked
    distances : float32 [Q, k], masked
        Euclidean distance of the unit vectors, sqrt(2 - 2 cos), in 0..2.
    positions : int64 [Q, k], masked
        Row numbers in the gallery.
    asked : int
        The k that was asked for.
    """

    ids: Masked
    labels: Masked
    paths: Masked
    patients: Masked
    distances: Masked
    positions: Masked
    asked: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def counts(self) -> Ids:
        """Neighbours of each query, int64 [Q]."""
        return np.asarray((~np.ma.getmaskarray(self.ids)).sum(axis=1), dtype=np.int64)

    @property
    def words(self) -> str:
        """A sentence where a query has fewer neighbours than were asked for; '' where none has."""
        short = int((self.counts < self.asked).sum())
        if not short:
            return ""
        least = int(self.counts.min())
        return (
            f"{short} of {len(self)} queries have fewer than the {self.asked} neighbours asked for (at least {least}): "
            "the gallery holds no more rows that may be found"
        )

    def of(self, query: int) -> pd.DataFrame:
        """The neighbours of one query: position, id, label, patient, path, distance; a row each, none masked."""
        count = int(self.counts[query])
        named = {"position": self.positions, "id": self.ids, "label": self.labels, "patient": self.patients}
        columns = {**named, "path": self.paths, "distance": self.distances}
        return pd.DataFrame({name: np.asarray(values[query, :count]) for name, values in columns.items()})

    def as_frame(self) -> pd.DataFrame:
        """The neighbours of all queries: the columns of `of`, behind `query` (from 0) and `place` (from 1)."""
        parts = []
        for query in range(len(self)):
            part = self.of(query)
            part.insert(0, "place", np.arange(1, len(part) + 1))
            part.insert(0, "query", query)
            parts.append(part)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


@dataclass(frozen=True)
class Agreement:
    """What the neighbours of one query say together.

    Attributes
    ----------
    label : of most of them; '' where there are none
    votes, of : how many say so, of how many
    """

    label: str
    votes: int
    of: int


def agreement(neighbours: pd.DataFrame) -> Agreement:
    """The label of most neighbours; of equally frequent ones that of the nearest."""
    labels = [label for label in neighbours["label"] if label]
    if not labels:
        return Agreement("", 0, len(neighbours))
    best = max(dict.fromkeys(labels), key=labels.count)
    return Agreement(best, labels.count(best), len(neighbours))


def masked(positions: Ids, gaps: Vectors, columns: dict[str, Any], asked: int) -> SearchResult:
    """A result from positions int64 [Q, k] (-1 where there is none), distances, and the gallery's columns [M]."""
    empty = positions < 0
    safe = np.where(empty, 0, positions)

    def column(name: str, fill: Any) -> Masked:
        return np.ma.array(np.where(empty, fill, columns[name][safe]), mask=empty)

    return SearchResult(
        ids=column("id", NOWHERE),
        labels=column("label", ""),
        paths=column("path", ""),
        patients=column("patient", ""),
        distances=np.ma.array(gaps, mask=empty),
        positions=np.ma.array(np.where(empty, NOWHERE, positions), mask=empty),
        asked=asked,
    )
