"""How near rows are found: exactly, or by a FAISS index that was built from the vectors.

Vectors are the truth and an index can always be made of them again. It knows rows by keys, whole numbers that grow as
rows are added and are not used twice: so rows can go, also from a kind that cannot forget them (`hnsw`: what is gone
there is passed over in every search until the index is built anew).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any, Literal, get_args

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from contrastive_cxr.errors import RequestError, nearest
from contrastive_cxr.metrics.neighbours import distances
from contrastive_cxr.retrieval.rows import Ids, Vectors

faiss: Any = _faiss  # its own types lack half of it

Kind = Literal["exact", "hnsw", "ivf", "ivf-pq"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Allowed = npt.NDArray[np.bool_] | None
_EXACT_ROWS, _FLAT_ROWS = 100_000, 3_000_000  # up to which `auto` takes exact, and ivf; then ivf-pq
_GATHERED = 1 << 16  # rows copied at once where an exact search may see some alone
_SAME = np.float32(1e-6)  # similarities nearer than this may be of equal vectors, by rounding
_FEW = 0.02  # of the rows: fewer allowed ones are searched exactly, which is as fast and misses none
_LINKS, _CODE = 32, 8  # hnsw: links a row; ivf-pq: dimensions that share a byte
FACTOR = {"exact": 1, "hnsw": 1, "ivf": 1, "ivf-pq": 10}
"""How many times k rows are taken from a kind and then ranked by their true distances: codes of ivf-pq are coarse."""


@dataclass
class Index:
    """A FAISS index over rows of a gallery; `exact` has none and looks at the vectors themselves.

    Attributes
    ----------
    kind : Kind
    faiss_index : of faiss, or None for `exact`
    keys : int64 [M], rising; the key of each row. An index of ivf or hnsw may also hold keys that are gone.
    effort : int
        hnsw: efSearch, candidates held while searching; ivf: nprobe, lists looked through. 0 for `exact`.
    """

    kind: Kind
    faiss_index: Any
    keys: Ids
    effort: int = 0

    @property
    def gone(self) -> int:
        """Rows that the index still holds and the gallery does not."""
        return 0 if self.faiss_index is None else int(self.faiss_index.ntotal) - len(self.keys)

    def nearest(self, vectors: Vectors, queries: Vectors, count: int, allowed: Allowed = None) -> Ids:
        """Positions int64 [Q, count] of near rows, about nearest first; -1 where the index gives no more.

        Parameters
        ----------
        vectors, queries : float32 [M, D], [Q, D], unit length
        count : int
            At most M.
        allowed : bool [M], optional
            Rows that may be found.
        """
        few = allowed is not None and np.count_nonzero(allowed) <= max(1000, _FEW * len(vectors))
        if self.faiss_index is None or few:
            return exact(vectors, queries, count, allowed)
        # pytorch-metric-learning loads faiss.contrib.torch_utils, whose `search` knows no params; the other is kept
        search = getattr(self.faiss_index, "search_numpy", self.faiss_index.search)
        _, found = search(queries, count, params=self._parameters(allowed, count))
        places = found if self._plain() else np.searchsorted(self.keys, found)
        # a key that the gallery does not have is of an index that lies
        return np.where((found >= 0) & (found <= self.keys[-1]), places, -1)

    def add(self, vectors: Vectors) -> None:
        """Put rows behind the others."""
        first = int(self.keys[-1]) + 1 if len(self.keys) else 0
        if self.kind == "hnsw":  # numbers rows by itself, also those that are gone
            first = int(self.faiss_index.ntotal)
            self.faiss_index.add(vectors)
        new = np.arange(first, first + len(vectors))
        if self.kind in ("ivf", "ivf-pq"):
            self.faiss_index.add_with_ids(vectors, new)
        self.keys = np.concatenate([self.keys, new])

    def remove(self, positions: Ids) -> None:
        """Forget rows: for good where the kind can, else they are passed over from now on."""
        if self.kind in ("ivf", "ivf-pq"):
            self.faiss_index.remove_ids(self.keys[positions])
        self.keys = np.delete(self.keys, positions)

    def _plain(self) -> bool:
        """Whether keys are positions."""
        return len(self.keys) == 0 or int(self.keys[-1]) == len(self.keys) - 1

    def _parameters(self, allowed: Allowed, count: int) -> Any:
        """FAISS's settings of one search."""
        hnsw = self.kind == "hnsw"
        options: dict[str, Any] = {"efSearch": max(self.effort, count)} if hnsw else {"nprobe": self.effort}
        if allowed is not None or (hnsw and self.gone):
            keys = self.keys if allowed is None else self.keys[allowed]
            flags = np.zeros(int(self.keys[-1]) + 1, dtype=bool)
            flags[keys] = True
            # params keeps the selector, and the selector its bits, alive while they are used
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(flags, bitorder="little"))
        return (faiss.SearchParametersHNSW if hnsw else faiss.SearchParametersIVF)(**options)


def check_kind(word: str) -> None:
    """Refuse a word that is neither a kind nor `auto`."""
    if word not in (*KINDS, "auto"):
        words = (*KINDS, "auto")
        raise RequestError(f"kind '{word}' is not one of {', '.join(words)}{nearest(word, words)}")


def kind_for(rows: int, word: str = "auto") -> Kind:
    """The kind that `auto` stands for, or the word itself.

    Up to 100,000 rows an exact search of one query takes some 20 ms; hnsw is no quicker to build than ivf and larger;
    beyond 3 million rows of 512 numbers (6 GB) the index should be smaller than the vectors.
    """
    check_kind(word)
    if word != "auto":
        return word  # type: ignore[return-value]
    return "exact" if rows <= _EXACT_ROWS else "ivf" if rows <= _FLAT_ROWS else "ivf-pq"


def build(kind: Kind, vectors: Vectors) -> Index:
    """An index of all rows; threads are those of OMP_NUM_THREADS.

    ivf has about 4 sqrt(M) lists; hnsw 32 links a row and 80 candidates while building; ivf-pq a byte for 8 dimensions.
    `effort` starts low: `retrieval.measure` raises it until the recall is reached.
    """
    rows, width = vectors.shape
    keys = np.arange(rows)
    if kind == "exact":
        return Index(kind, None, keys)
    metric = faiss.METRIC_INNER_PRODUCT
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(width, _LINKS, metric)
        index.hnsw.efConstruction = 80
    else:
        lists = max(1, min(ceil(4 * sqrt(rows)), rows // 39))  # 39: fewer points a list and FAISS warns
        flat = faiss.IndexFlatIP(width)
        if kind == "ivf":
            index = faiss.IndexIVFFlat(flat, width, lists, metric)
        else:
            bits = 8 if rows >= 39 * 256 else max(1, int(np.log2(max(2, rows / 39))))
            index = faiss.IndexIVFPQ(flat, width, lists, codes(width), bits, metric)
        index.cp.spherical, index.cp.max_points_per_centroid = True, 64
        index.train(vectors)
    index.add(vectors)
    return Index(kind, index, keys, effort=16 if kind == "hnsw" else 4)


def codes(width: int) -> int:
    """Bytes a vector in ivf-pq: a byte for 8 dimensions, or for as near below it as divides the width."""
    return width // next(each for each in range(min(_CODE, width), 0, -1) if width % each == 0)


def exact(vectors: Vectors, queries: Vectors, count: int, allowed: Allowed = None) -> Ids:
    """Positions int64 [Q, count] of the nearest allowed rows, about nearest first; -1 where there are no more.

    Of rows that are equally near, at the end of what is asked for, those of lower position. Costs 2 Q M D operations;
    of allowed rows alone, in copies of 65,536 rows; and M D for each query with such rows.
    """
    near, found = _by_product(vectors, queries, min(count + 1, len(vectors)), allowed)
    if found.shape[1] > count:
        next_one = near[:, count]
        for query in np.flatnonzero(np.isfinite(next_one) & (near[:, count - 1] <= next_one + _SAME)):
            rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
            gaps = distances(vectors, queries[query : query + 1], rows[None])[0]
            found[query, :count] = rows[np.argsort(gaps, kind="stable")[:count]]
    return found[:, :count]


def _by_product(vectors: Vectors, queries: Vectors, count: int, allowed: Allowed) -> tuple[Vectors, Ids]:
    """Similarities and positions [Q, count] of the nearest allowed rows, nearest first; -inf and -1 behind them."""
    if allowed is None or allowed.all():
        near, found = faiss.knn(queries, np.asarray(vectors), count, faiss.METRIC_INNER_PRODUCT)
        return np.asarray(near), np.asarray(found)
    rows = np.flatnonzero(allowed)
    best = np.full((len(queries), count), -np.inf, np.float32)
    places = np.full((len(queries), count), -1, np.int64)
    for first in range(0, len(rows), _GATHERED):
        part = rows[first : first + _GATHERED]
        near, found = faiss.knn(queries, vectors[part], min(count, len(part)), faiss.METRIC_INNER_PRODUCT)
        near, found = np.concatenate([best, near], axis=1), np.concatenate([places, part[found]], axis=1)
        order = np.argsort(-near, axis=1, kind="stable")[:, :count]
        best, places = np.take_along_axis(near, order, axis=1), np.take_along_axis(found, order, axis=1)
    return best, places


def write(index: Index, path: Path) -> None:
    """Write the FAISS index to a file; `OSError` where the disk is full, which FAISS's own writer may not notice."""
    with path.open("wb") as file:
        faiss.write_index(index.faiss_index, faiss.PyCallbackIOWriter(file.write))


def read(path: Path, mapped: bool, kind: Kind, width: int) -> Any:
    """The FAISS index of a file, over vectors of `width` numbers. Give it no file that you have not checked.

    FAISS trusts what it reads. A length that the file declares is believed up to the file's own size, where FAISS knows
    such a limit (1.13 does); of ivf-pq up to that of the table which FAISS may make of the centroids: 256 sums for each
    byte of a code.
    """
    limit = path.stat().st_size
    if kind == "ivf-pq":
        limit = limit * 256 * codes(width) // width
    if hasattr(faiss, "set_deserialization_vector_byte_limit"):
        faiss.set_deserialization_vector_byte_limit(limit)
    flag = (faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY) if mapped else 0
    return faiss.read_index(str(path), flag)


def fits(index: Index, shape: tuple[int, ...]) -> bool:
    """Whether an index that was read is of its kind, over vectors of `shape`, with keys that rise from 0 or above."""
    names = {"hnsw": "IndexHNSWFlat", "ivf": "IndexIVFFlat", "ivf-pq": "IndexIVFPQ"}
    keys, found = index.keys, index.faiss_index
    return (
        type(found).__name__ == names[index.kind]
        and (int(found.d), len(keys)) == (shape[1], shape[0])
        and keys.dtype == np.int64
        and keys.ndim == 1
        and bool(keys[0] >= 0 and (np.diff(keys) > 0).all())
    )


VERSION: str = faiss.__version__
