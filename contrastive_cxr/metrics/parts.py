"""Neighbour scores of vectors that lie in parts on a disk: no table of all vectors stands in one memory.

A block of queries is compared with one part of the gallery after the other. What is kept of a block are its
similarities; of each query its scores and the neighbours that vote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.metrics import nearest, ranking
from contrastive_cxr.metrics.neighbours import Barred, Identity, NeighbourScores, unit, values_of
from contrastive_cxr.metrics.statistics.weighted import Floats, Ints
from contrastive_cxr.spread import Here, Spread

Vectors = NDArray[np.float32]
MEMORY = 512 * 2**20
"""Bytes of similarities that a block of queries holds. The gallery is read once for each block, so more memory means
fewer readings: with a million rows a block has 134 queries, whose product takes longer than the reading."""


class Parts(Protocol):
    """N vectors in parts; can be sent to a worker, which has to see them."""

    @property
    def sizes(self) -> Sequence[int]:
        """Rows of each part."""

    def vectors(self, number: int) -> Vectors:
        """Vectors of a part, float32 [n, D]."""


@dataclass(frozen=True)
class About:
    """What is known of the rows: labels, and who is excluded (`neighbours.Identity`); int64, -1 unknown."""

    gallery_labels: Ints
    query_labels: Ints
    who: dict[str, Ints]
    k: tuple[int, ...]
    vote: int


def scores(
    gallery: Parts,
    gallery_labels: Ints,
    queries: Parts,
    query_labels: Ints,
    *,
    k: Sequence[int] = (1, 5, 10),
    vote: int = 20,
    classes: int | None = None,
    memory: int = MEMORY,
    spread: Spread | None = None,
    **identity: Unpack[Identity],
) -> NeighbourScores:
    """As `neighbours.scores`: MAP@R, R-precision, recall, precision, and the vote of the nearest.

    Parameters
    ----------
    gallery, queries : Parts
        Of M and Q vectors of one width.
    memory : int
        Bytes of similarities a call, at least those of one query (4 M).
    spread : Spread, optional
        Who computes the blocks of queries; none: this process.
    others : as for `neighbours.scores`

    Raises
    ------
    CcxrError
        Labels or identities are not as many as the vectors, or vectors are not finite.
    """
    rows, asked = sum(gallery.sizes), sum(queries.sizes)
    who = {
        name: _numbers(identity.get(name), rows if name.startswith("g") else asked) for name in Identity.__annotations__
    }
    for name, labels, count in (("gallery", gallery_labels, rows), ("query", query_labels, asked)):
        if len(labels) != count:
            raise CcxrError(f"{len(labels)} {name} labels for {count} vectors; give one a vector")
    if classes is None:
        classes = int(max(gallery_labels.max(initial=0), query_labels.max(initial=0))) + 1
    about = About(gallery_labels, query_labels, who, tuple(k), vote)
    workers = spread or Here()
    shared = workers.kept(_itself, [(about,)])[0]
    size = max(1, memory // (4 * max(1, rows)))
    calls = ((gallery, queries, *place, shared) for place in _places(queries.sizes, size))
    told = list(workers.results(of_block, calls))
    table, labels, near = (np.concatenate(column) for column in zip(*told, strict=True))
    return _gathered(table, labels, near, query_labels, about, classes)


def of_block(
    gallery: Parts, queries: Parts, number: int, start: int, count: int, first: int, about: About
) -> tuple[Floats, Ints, Vectors]:
    """One block of queries: rows `start` to `start + count - 1` of part `number`, the first of them query `first`.

    Returns
    -------
    float64 [count, scores], int64 [count, vote] (labels), float32 [count, vote] (similarities), as `neighbours.scores`
    """
    asked = unit(queries.vectors(number)[start : start + count], "queries")
    barred = Barred(
        {name: each if name.startswith("g") else each[first : first + count] for name, each in about.who.items()}
    )
    theirs, mine = about.gallery_labels, about.query_labels[first : first + count]
    sizes = np.bincount(theirs[theirs >= 0], minlength=int(mine.max(initial=0)) + 1)
    wanted = sizes[mine]
    table = np.full((count, 2 * len(about.k) + 2), np.nan)
    labels, near = np.full((count, about.vote), -1, np.int64), np.full((count, about.vote), np.nan, np.float32)

    def depth(query: int, excluded: Ints) -> int:
        wanted[query] -= np.count_nonzero(theirs[excluded] == mine[query])
        return max(int(wanted[query]), about.vote, *about.k)

    def take(query: int, found: nearest.Ranked) -> None:
        said = theirs[found.rows]
        table[query] = ranking.scores(said == mine[query], int(wanted[query]), found.available, about.k)
        most = min(about.vote, len(said))
        labels[query, :most], near[query, :most] = said[:most], found.similarity[found.rows[:most]]

    nearest.ranked_blocks([(0, similarities(gallery, asked))], barred.rows, depth, take)
    return table, labels, near


def similarities(gallery: Parts, asked: Vectors) -> Vectors:
    """Cosines float32 [B, M] of queries of unit length to all rows; one part of the gallery is held at a time."""
    found = np.empty((len(asked), sum(gallery.sizes)), np.float32)
    first = 0
    for number, size in enumerate(gallery.sizes):
        vectors = unit(gallery.vectors(number), "gallery")
        if vectors.shape != (size, asked.shape[1]):
            raise CcxrError(
                f"part {number} of the gallery is {list(vectors.shape)}, not [{size}, {asked.shape[1]}]; take both "
                "from one model"
            )
        found[:, first : first + size] = asked @ vectors.T
        first += size
    return found


def _gathered(
    table: Floats, labels: Ints, near: Vectors, query_labels: Ints, about: About, classes: int
) -> NeighbourScores:
    votes = ranking.votes(labels, near, classes)
    per_query: dict[str, Floats] = dict(zip(ranking.names(about.k), table.T.copy(), strict=True))
    correct = (votes.argmax(1) == query_labels).astype(float)
    per_query["knn_accuracy"] = np.where(np.isfinite(per_query["map_at_r"]), correct, np.nan)
    return NeighbourScores(values_of(per_query, votes, query_labels), per_query, votes, query_labels, near)


def _places(sizes: Sequence[int], size: int) -> Iterator[tuple[int, int, int, int]]:
    """Part, first row in it, rows, and number of the first query of each block."""
    first = 0
    for number, rows in enumerate(sizes):
        for start in range(0, rows, size):
            yield number, start, min(size, rows - start), first + start
        first += rows


def _numbers(values: object, count: int) -> Ints:
    found = np.full(count, -1, dtype=np.int64) if values is None else np.asarray(values, dtype=np.int64)
    if found.shape != (count,):
        raise CcxrError(f"an identity has shape {list(found.shape)}; {count} vectors need [{count}]")
    return found


def _itself(about: About) -> About:
    """So that it is sent to each machine once."""
    return about
