"""A gallery: vectors, their rows, the identity of their model, and search among them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import contrastive_cxr.retrieval.gallery_files as gallery_files
import contrastive_cxr.retrieval.index as indexes
import contrastive_cxr.retrieval.index_files as index_files
import contrastive_cxr.retrieval.measure as measure
from contrastive_cxr import locks
from contrastive_cxr.errors import CcxrError, RequestError, raise_faults
from contrastive_cxr.files import AtomicWrites
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.held import Held
from contrastive_cxr.retrieval.index import Index
from contrastive_cxr.retrieval.model import EmbeddingModel
from contrastive_cxr.retrieval.near import PatientExclusion, nearest
from contrastive_cxr.retrieval.result import SearchResult, masked
from contrastive_cxr.retrieval.rows import Where, matching, places, table, unit_vectors

logger = logging.getLogger(__name__)


class Gallery(Held):
    """Vectors and their rows, to be searched; make one with `build` or `load`. Attributes: see `Held`."""

    @classmethod
    def build(
        cls,
        vectors: npt.ArrayLike | EmbeddingModel,
        rows: pd.DataFrame,
        model_digest: str = "",
        *,
        kind: str = "auto",
        preprocessing: dict[str, Any] | None = None,
        made_by: str = "",
    ) -> Gallery:
        """Make a gallery of vectors, or of a model and the images its rows name.

        Parameters
        ----------
        vectors : float [M, D] of unit length, or EmbeddingModel
            A model embeds `root`/`path` of the rows (`path` alone where there is no `root`) and gives its own digest.
        rows : DataFrame
            M rows; `id`, `label`, `patient`, `path`, `split` are read where they are there, others kept as text.
        model_digest : str
            `EmbeddingModel.digest` of the model that made the vectors; '' leaves it unchecked.
        kind : str
            `exact`, `hnsw`, `ivf`, `ivf-pq`, or `auto` by size (docs/reference/retrieval.md has their costs).
        preprocessing : dict, optional
            How the model reads an image (`EmbeddingModel.preprocessing`), checked where both sides are known.
        made_by : str
            Folder of the model.

        Raises
        ------
        RequestError
            Where there are no rows, counts differ, ids repeat, the kind is unknown, or vectors are not finite and of
            unit length.
        """
        indexes.check_kind(kind)
        known = table(rows)
        if isinstance(vectors, EmbeddingModel):
            roots = rows["root"] if "root" in rows else [""] * len(rows)
            paths = [Path(str(root)) / path for root, path in zip(roots, known["path"], strict=True)]
            model_digest, preprocessing = vectors.digest, vectors.preprocessing
            vectors = vectors.embed(paths)
        checked = unit_vectors(vectors, "vectors")
        if len(checked) != len(known):
            raise RequestError(f"{len(checked)} vectors for {len(known)} rows; give one row a vector")
        about = About(model_digest, preprocessing, made_by, indexes.kind_for(len(checked), kind))
        index = indexes.build(about.kind, checked)
        return cls(checked, known, about, index, measure.tune(index, checked))

    def search(
        self,
        queries: npt.ArrayLike,
        k: int = 5,
        exclude_patients: Sequence[str] | None = None,
        model_digest: str | None = None,
        where: Where | None = None,
    ) -> SearchResult:
        """Find the nearest rows of each query; the distances are exact, whatever the kind.

        Parameters
        ----------
        queries : float [Q, D] of unit length
            One vector [D] is taken as one query.
        k : int
            Neighbours a query; more than there are gives all that there are.
        exclude_patients : sequence of str, optional
            One patient a query, whose own rows are passed over; '' (unknown) passes over none. k is still filled.
        model_digest : str, optional
            Digest of the model that made the queries, to be checked against the gallery's.
        where : mapping of str to str or several str, optional
            Only rows with (one of) these values in these columns. k is still filled.

        Raises
        ------
        RequestError
            Where the queries are of another size or model, or not finite and of unit length, k is below 1, or `where`
            names a column or value that no row has.
        """
        checked = self._asked(queries, k, exclude_patients, model_digest)
        allowed = matching(self.rows, where) if where else None
        most = min(k, len(self) if allowed is None else int(allowed.sum()))
        own = None if exclude_patients is None else PatientExclusion(self._patients[0], self._numbers(exclude_patients))
        if not len(checked):
            return masked(np.empty((0, most), np.int64), np.empty((0, most), np.float32), self._columns, k)
        found, gaps = nearest(self.index, self.vectors, checked, most, allowed, own)
        return masked(found, gaps, self._columns, k)

    def add(self, vectors: npt.ArrayLike, rows: pd.DataFrame, model_digest: str | None = None) -> None:
        """Put rows behind the others; parameters as in `build`. Rows without `id` are numbered on.

        Raises
        ------
        RequestError
            As in `build`; or vectors of another size or model, ids that are taken, or a gallery loaded with `mapped`.
        """
        self._changeable()
        if model_digest is not None:
            self.check_model(model_digest)
        new, checked = table(rows), unit_vectors(vectors, "vectors")
        faults = []
        if checked.shape[1] != self.vectors.shape[1]:
            faults.append(f"vectors have {checked.shape[1]} dimensions, the gallery {self.vectors.shape[1]}")
        if len(checked) != len(new):
            faults.append(f"{len(checked)} vectors for {len(new)} rows; give one row a vector")
        if "id" not in rows:
            new["id"] += int(self.rows["id"].max()) + 1
        taken = new["id"][new["id"].isin(self.rows["id"])].tolist()
        if taken:
            faults.append(f"{len(taken)} ids are in the gallery already, such as {taken[0]}; leave the column id out")
        raise_faults(faults)
        self.index.add(checked)
        self.vectors = np.concatenate([self.vectors, checked])
        self._changed(pd.concat([self.rows, new], ignore_index=True).fillna(""))

    def merge(self, other: Gallery) -> None:
        """Add all rows of another gallery of the same model; they are numbered on.

        Raises
        ------
        RequestError
            Where the other is of another model or size, or holds images (root and path) that this one holds too.
        """
        self.check_model(other.model_digest, other.about.preprocessing)
        shared = set(places(self.rows)) & set(places(other.rows)) - {""}
        if shared:
            raise RequestError(
                f"{len(shared)} images are in both galleries, such as {min(shared)}; remove them from one of the two"
            )
        self.add(other.vectors, other.rows.drop(columns="id"))

    def remove(self, ids: Sequence[int]) -> None:
        """Take rows out: their vectors and table rows are gone at the next `save`.

        An index of kind `hnsw` cannot forget: it passes over them and keeps their vectors in its file until `rebuild`.

        Raises
        ------
        RequestError
            Where an id is not there, none would be left, or the gallery was loaded with `mapped`.
        """
        self._changeable()
        gone = self.rows["id"].isin(list(ids)).to_numpy()
        absent = sorted(set(map(int, ids)) - set(self.rows["id"].tolist()))
        faults = [f"{len(absent)} ids are not in the gallery, such as {absent[0]}"] if absent else []
        if gone.all():
            faults.append("no row would be left; remove the folder of the gallery instead")
        raise_faults(faults)
        self.index.remove(np.flatnonzero(gone))
        self.vectors = self.vectors[~gone]
        self._changed(self.rows[~gone].reset_index(drop=True))

    def rebuild(self, kind: str | None = None) -> None:
        """Build the index anew from the vectors, of this kind or the one it has.

        Raises
        ------
        RequestError
            Where the kind is unknown, or vectors that were loaded without `verify` are not finite and of unit length.
        """
        unit_vectors(self.vectors, "vectors of the gallery")  # FAISS ends the process where it trains on others
        chosen = indexes.kind_for(len(self), kind or self.about.kind)
        self.index, self.about, self._fixed = (
            indexes.build(chosen, self.vectors),
            replace(self.about, kind=chosen),
            False,
        )
        self.recall = measure.tune(self.index, self.vectors)

    def save(self, folder: str | Path) -> None:
        """Write vectors, rows, record and index; all of them are there before any takes its place."""
        folder, familiar = Path(folder), self.familiar
        if self.recall is None:
            self.recall = measure.tune(self.index, self.vectors)
        assert familiar is self.about.familiar, "the record holds it"
        with _held(folder, wait=True):
            with AtomicWrites(folder) as together:
                record = gallery_files.write(together, self.vectors, self.rows, self.about)
                if self.index.faiss_index is not None:
                    index_files.write(together, self.index, self.recall, record.vectors_sha256)
            index_files.clear(folder, self.index)

    @classmethod
    def load(
        cls, folder: str | Path, *, verify: bool = False, mapped: bool = False, trust_index: bool = False
    ) -> Gallery:
        """Read a gallery back; no pickle is opened.

        The index is built again, and written beside the vectors where that can be done, if it is missing, damaged, of
        other vectors, or not written by this user.

        Parameters
        ----------
        verify : bool
            Digest all files, also large ones whose size and time of change are those recorded (a second a gigabyte).
        mapped : bool
            Leave the index on disk where FAISS can, to share memory between processes; the gallery cannot be changed.
        trust_index : bool
            Read an index that another user or program wrote. FAISS trusts what it reads: do so for your own files only.

        Raises
        ------
        RequestError
            Where a file is missing, altered, or not what `gallery.json` says.
        """
        folder = Path(folder)
        record, vectors = gallery_files.read(folder, verify)
        large = record.stamps.get("rows.csv", (0, 0))[0] >= gallery_files.DIGESTED
        rows = folder if large else table(gallery_files.read_rows(folder, record.count))
        about = About(record.model, record.preprocessing, record.made_by, record.kind, record.familiar)
        if record.kind == "exact":
            return cls(vectors, rows, about, indexes.build("exact", vectors))
        try:
            index, recall = index_files.read(
                folder, record.kind, record.vectors_sha256, vectors.shape, mapped=mapped, trust=trust_index
            )
        except index_files.Unusable as reason:
            logger.warning("%s: its index is built again, since %s", folder, reason)
            made = cls(vectors, rows, about, Index("exact", None, np.arange(len(vectors))))
            made.rebuild()
            with suppress(CcxrError), _held(folder, wait=False), AtomicWrites(folder) as together:
                index_files.write(together, made.index, made.recall, record.vectors_sha256)
            return made
        loaded = cls(vectors, rows, about, index, recall)
        loaded._fixed = mapped
        return loaded


def _held(folder: Path, wait: bool) -> AbstractContextManager[None]:
    """Hold a gallery's folder while it is written."""
    return locks.held(folder / locks.NAME, f"the gallery '{folder}'", wait=wait)
