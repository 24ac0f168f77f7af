"""A gallery: vectors, their rows, the identity of their model, and exact search among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pandas as pd

import contrastive_cxr.retrieval.gallery_files as gallery_files
from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval.embedding import EmbeddingModel, Vectors
from contrastive_cxr.retrieval.inputs import Inputs

Ids = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
_COLUMNS = ("label", "patient", "path", "split")
_LENGTH_TOLERANCE = 1e-3


@dataclass(frozen=True)
class SearchResult:
    """The nearest rows of each query, nearest first; k is at most the size of the gallery.

    Where fewer than k rows are left after same-patient exclusion, the last places hold id -1, '' and infinity.

    Parameters
    ----------
    ids : int64 [Q, k]
    labels, paths, patients : str [Q, k]
    distances : float32 [Q, k]
        Euclidean distance of the unit vectors, sqrt(2 - 2 cos), in 0..2.
    """

    ids: Ids
    labels: Texts
    paths: Texts
    patients: Texts
    distances: Vectors


class Gallery:
    """Vectors and their rows; make one with `build` or `load`.

    Attributes
    ----------
    vectors : float32 [M, D]
        Unit length.
    rows : DataFrame
        M rows: `id` (int64, unique), `label`, `patient`, `path`, `split` ('' unknown), and any other column, as text.
    model_digest : str
        Identity of the model that made the vectors; '' where it is not known.
    """

    def __init__(self, vectors: Vectors, rows: pd.DataFrame, model_digest: str) -> None:
        self.vectors = vectors
        self.rows = rows
        self.model_digest = model_digest
        self._index = faiss.IndexFlatIP(vectors.shape[1])
        self._index.add(vectors)

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def build(cls, vectors: npt.ArrayLike | EmbeddingModel, rows: pd.DataFrame, model_digest: str = "") -> Gallery:
        """Make a gallery of vectors, or of a model and the images its rows name.

        Parameters
        ----------
        vectors : float [M, D] of unit length, or EmbeddingModel
            A model embeds `root`/`path` of the rows (`path` alone where there is no `root`) and gives its own digest.
        rows : DataFrame
            M rows; `id`, `label`, `patient`, `path`, `split` are read where they are there, others kept as text.
        model_digest : str
            `EmbeddingModel.digest` of the model that made the vectors; '' leaves it unchecked.

        Raises
        ------
        RequestError
            Where there are no rows, counts differ, ids repeat, or vectors are not finite and of unit length.
        """
        table = _table(rows)
        if isinstance(vectors, EmbeddingModel):
            roots = rows["root"] if "root" in rows else [""] * len(rows)
            paths = [Path(str(root)) / path for root, path in zip(roots, table["path"], strict=True)]
            return cls(vectors.embed(paths), table, vectors.digest)
        checked = _unit_vectors(vectors, "vectors")
        if len(checked) != len(table):
            raise RequestError(f"{len(checked)} vectors for {len(table)} rows; give one row a vector")
        return cls(checked, table, model_digest)

    def check_model(self, digest: str) -> None:
        """Raise `RequestError` where the gallery was made by another model than the one with this digest."""
        if self.model_digest and digest != self.model_digest:
            raise RequestError(
                f"the gallery is of model {self.model_digest[:12]}, these queries are of {digest[:12]}; vectors of two "
                "models cannot be compared: build the gallery again with this model"
            )

    def search(
        self,
        queries: npt.ArrayLike,
        k: int = 5,
        exclude_patients: Sequence[str] | None = None,
        model_digest: str | None = None,
    ) -> SearchResult:
        """Find the nearest rows of each query, exactly.

        Parameters
        ----------
        queries : float [Q, D] of unit length
            One vector [D] is taken as one query.
        k : int
            Neighbours a query; more than the gallery holds gives all that it holds.
        exclude_patients : sequence of str, optional
            One patient a query, whose own rows are passed over; '' (unknown) passes over none. k is still filled.
        model_digest : str, optional
            Digest of the model that made the queries, to be checked against the gallery's.

        Raises
        ------
        RequestError
            Where the queries are of another size or model, or not finite and of unit length, or k is below 1.
        """
        if model_digest is not None:
            self.check_model(model_digest)
        checked = _unit_vectors(np.atleast_2d(np.asarray(queries)), "queries")
        if checked.shape[1] != self.vectors.shape[1]:
            raise RequestError(
                f"queries have {checked.shape[1]} dimensions, the gallery {self.vectors.shape[1]}; use its model"
            )
        if k < 1:
            raise RequestError(f"k={k}; give at least 1")
        if exclude_patients is not None and len(exclude_patients) != len(checked):
            raise RequestError(f"{len(exclude_patients)} patients for {len(checked)} queries; give one a query")
        return self._result(*self._nearest(checked, min(k, len(self)), exclude_patients))

    def search_images(
        self, model: EmbeddingModel, inputs: Inputs, k: int = 5, exclude_patients: Sequence[str] | None = None
    ) -> SearchResult:
        """Embed pictures with `model`, which must be the gallery's, and search for them; see `EmbeddingModel.embed`."""
        self.check_model(model.digest)
        return self.search(model.embed(inputs), k, exclude_patients)

    def save(self, folder: str | Path) -> None:
        """Write `vectors.npy`, `rows.csv` and `gallery.json`, each beside its place and renamed."""
        gallery_files.write(Path(folder), self.vectors, self.rows, self.model_digest)

    @classmethod
    def load(cls, folder: str | Path) -> Gallery:
        """Read a gallery back; no pickle is opened, the index is rebuilt from the vectors.

        Raises
        ------
        RequestError
            Where a file is missing, altered, or not what `gallery.json` says.
        """
        return cls.build(*gallery_files.read(Path(folder)))

    def _nearest(self, queries: Vectors, k: int, exclude: Sequence[str] | None) -> tuple[Ids, Vectors]:
        """Positions int64 [Q, k] (-1 where none is left) and distances float32 [Q, k]."""
        patients = self.rows["patient"].to_numpy()
        own = pd.Series(patients).value_counts()
        counts = [int(own.get(patient, 0)) if patient else 0 for patient in exclude or ()]
        # k others are among the first k + (the query's own): the search stays exact.
        width = min(len(self), k + max(counts, default=0))
        positions = np.full((len(queries), k), -1, np.int64)
        distances = np.full((len(queries), k), np.inf, np.float32)
        if not len(queries):
            return positions, distances
        _, found = self._index.search(queries, width)
        for row, near in enumerate(found):
            if exclude is not None and exclude[row]:
                near = near[patients[near] != exclude[row]]
            # From the difference: 2 - 2 cos loses half its digits for near neighbours.
            gaps = np.linalg.norm(self.vectors[near].astype(np.float64) - queries[row], axis=1)
            order = np.lexsort((near, gaps))[:k]
            positions[row, : len(order)], distances[row, : len(order)] = near[order], gaps[order]
        return positions, distances

    def _result(self, positions: Ids, distances: Vectors) -> SearchResult:
        there = positions >= 0
        text = {
            name: np.where(there, self.rows[name].to_numpy(dtype=object)[positions], "")
            for name in ("label", "path", "patient")
        }
        ids = np.where(there, self.rows["id"].to_numpy()[positions], -1)
        return SearchResult(ids, text["label"], text["path"], text["patient"], distances)


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with all our columns, ids as int64 and the rest as text."""
    if not len(rows):
        raise RequestError("a gallery of no rows; give at least one")
    table = rows.reset_index(drop=True).fillna("").astype(str) if len(rows.columns) else rows.reset_index(drop=True)
    for name in _COLUMNS:
        if name not in table:
            table[name] = ""
    try:
        ids = np.arange(len(rows)) if "id" not in rows else rows["id"].astype("int64").to_numpy()
    except (ValueError, TypeError) as error:
        raise RequestError(f"the rows' column id holds no whole numbers ({error})") from error
    if len(np.unique(ids)) != len(ids) or ids.min() < 0:
        raise RequestError("the rows' ids repeat or are negative; give each row a number of its own, from 0")
    others = [name for name in table.columns if name not in ("id", *_COLUMNS)]
    return table.assign(id=ids)[["id", *_COLUMNS, *others]]


def _unit_vectors(vectors: npt.ArrayLike, what: str) -> Vectors:
    """The vectors as float32 [N, D], checked."""
    array = np.asarray(vectors)
    if array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        raise RequestError(f"{what} are {array.dtype} {list(array.shape)}; give floats [N, D]")
    checked = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(checked).all():
        raise RequestError(f"{what} hold NaN or infinity in row {int(np.argmin(np.isfinite(checked).all(axis=1)))}")
    lengths = np.linalg.norm(checked, axis=1)
    wrong = np.flatnonzero(np.abs(lengths - 1) > _LENGTH_TOLERANCE)
    if len(wrong):
        raise RequestError(
            f"{what}: row {wrong[0]} has length {lengths[wrong[0]]:.4g}, expected 1; divide by the length"
        )
    return checked
