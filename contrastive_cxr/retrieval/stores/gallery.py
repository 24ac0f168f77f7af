"""A gallery whose rows and vectors lie in a store; it answers as `retrieval.Gallery` does, and holds none of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

import contrastive_cxr.retrieval.stores.searching as searching
from contrastive_cxr.errors import CcxrError, RequestError, raise_faults
from contrastive_cxr.retrieval.measure import Familiar
from contrastive_cxr.retrieval.result import SearchResult, masked
from contrastive_cxr.retrieval.rows import Ids, Vectors, Where, table, unit_vectors
from contrastive_cxr.retrieval.searched import Searched
from contrastive_cxr.retrieval.stores.filling import checked_columns, indexed, with_places
from contrastive_cxr.retrieval.stores.record import StoreRecord, kind_for
from contrastive_cxr.retrieval.stores.store import BLOCK, PLACE, Among, Store, View

TOLD = ("id", "label", "path", "patient")


class StoreGallery(Searched):
    """A gallery in Lance files or in PostgreSQL; open one with `retrieval.open_gallery`.

    A search is answered from one version, the newest when it begins, whatever others write meanwhile. The position of
    a row is its `id`.

    Attributes
    ----------
    store : Store
    record : StoreRecord
    about, recall : as of `Searched`
    """

    def __init__(self, store: Store, record: StoreRecord) -> None:
        self.store = store
        self._take_record(record)

    def _take_record(self, record: StoreRecord) -> None:
        self.record, self.about, self.recall = record, record.about, record.recall

    def __len__(self) -> int:
        with self.store.view() as view:
            return view.count()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the rows' columns."""
        return self.record.columns

    @property
    def familiar(self) -> Familiar | None:
        """Distances of the gallery's own cases to their nearest, as measured when the index was built."""
        return self.record.familiar

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return self.record.dimensions

    @property
    def version(self) -> str:
        """A word for the newest version."""
        with self.store.view() as view:
            return view.version

    def search(
        self,
        queries: npt.ArrayLike,
        k: int = 5,
        exclude_patients: Sequence[str] | None = None,
        model_digest: str | None = None,
        where: Where | None = None,
    ) -> SearchResult:
        """Find the nearest rows of each query; parameters and errors as of `Gallery.search`."""
        checked = self._asked(queries, k, exclude_patients, model_digest)
        with self.store.view() as view:
            wanted = searching.conditions(view, self.columns, where)
            ids, gaps = searching.search(view, self.record, checked, k, wanted, exclude_patients)
            rows = _in_order(view, np.unique(ids[ids >= 0]), TOLD)
        places = np.where(ids < 0, -1, np.searchsorted(rows["id"].to_numpy(dtype=np.int64), ids))
        columns = {name: _or_one(rows[name].to_numpy()) for name in TOLD}
        found = masked(places, gaps, columns, k)
        return SearchResult(**{**vars(found), "positions": found.ids})

    def take(self, positions: Ids | Sequence[int]) -> pd.DataFrame:
        """The rows with these ids, in their order."""
        with self.store.view() as view:
            return _in_order(view, positions, self.columns)

    def take_vectors(self, positions: Ids | Sequence[int]) -> Vectors:
        """The vectors of these ids, float32 [n, D], in their order."""
        wanted = np.asarray(positions, dtype=np.int64)
        with self.store.view() as view:
            ids, vectors = view.vectors(np.unique(wanted).tolist())
        return vectors[_places(ids, wanted)]

    def find(self, column: str, values: Iterable[str]) -> dict[str, list[int]]:
        """Ids of the rows that have one of these values in a column, by value; of absent values none."""
        wanted = list(dict.fromkeys(values))
        found: dict[str, list[int]] = {value: [] for value in wanted}
        if column not in self.columns or not wanted:
            return found
        with self.store.view() as view:
            rows = view.find(column, wanted)
        for number, value in zip(rows["id"].tolist(), rows[column].tolist(), strict=True):
            found[value].append(number)
        return {value: sorted(ids) for value, ids in found.items()}

    def at_files(self, files: Sequence[str]) -> list[int | None]:
        """Id of the row whose image is this file; None where there is none."""
        places = with_places(pd.DataFrame({"root": "", "path": list(files)}))[PLACE].tolist()
        if not any(places):
            return [None] * len(files)
        with self.store.view() as view:
            rows = view.find(PLACE, sorted(set(places) - {""}))
        known = dict(zip(rows[PLACE].tolist()[::-1], rows["id"].tolist()[::-1], strict=True))
        return [known.get(place) for place in places]

    def at_places(self, places: Sequence[str]) -> list[int | None]:
        """As `at_files`: a store keeps absolute addresses."""
        return self.at_files(places)

    def count(self, column: str, value: str) -> int:
        """Rows that have this value in a column."""
        with self.store.view() as view:
            return view.count([Among(column, (value,))]) if column in self.columns else 0

    def labels(self) -> dict[str, int]:
        """Rows of each label; one pass over that column."""
        found: dict[str, int] = {}
        with self.store.view() as view:
            for rows, _ in view.blocks(("label",), vectors=False):
                for name, count in rows["label"].value_counts(sort=False).items():
                    found[str(name)] = found.get(str(name), 0) + int(count)
        return found

    def add(self, vectors: npt.ArrayLike, rows: pd.DataFrame, model_digest: str | None = None) -> None:
        """Put rows behind the others, as one new version; rows without `id` are numbered on.

        They are found at once, without the index, until `rebuild`.

        Raises
        ------
        RequestError
            Vectors of another size or model, or not finite and of unit length; ids that are taken; columns that the
            gallery does not have; or another process writes to the gallery.
        """
        if model_digest is not None:
            self.check_model(model_digest)
        new, checked = table(rows), unit_vectors(vectors, "vectors")
        faults = checked_columns(new, self.columns)
        if checked.shape[1] != self.record.dimensions:
            faults.append(f"vectors have {checked.shape[1]} dimensions, the gallery {self.record.dimensions}")
        if len(checked) != len(new):
            faults.append(f"{len(checked)} vectors for {len(new)} rows; give one row a vector")
        raise_faults(faults)
        with self.store.writing():
            with self.store.view() as view:
                if "id" not in rows:
                    new["id"] += 1 + _last_id(view)
                taken = [] if "id" not in rows else view.rows(new["id"].tolist(), ("id",))["id"].tolist()
            if taken:
                raise RequestError(
                    f"{len(taken)} ids are in the gallery already, such as {min(taken)}; leave the column id out"
                )
            kept = with_places(new.reindex(columns=list(self.columns), fill_value=""))
            cuts = [slice(first, first + BLOCK) for first in range(0, len(kept), BLOCK)]
            self.store.append((kept.iloc[cut], checked[cut]) for cut in cuts)

    def merge(self, other: StoreGallery) -> None:
        """Add all rows of another gallery of the same model, block by block; they are numbered on.

        Raises
        ------
        RequestError
            Where the other is of another model or size, or holds images that this one holds too.
        """
        self.check_model(other.model_digest, other.about.preprocessing)
        with other.store.view() as theirs:
            for rows, vectors in theirs.blocks(other.columns):
                self._refuse_known(rows)
                self.add(vectors, rows.drop(columns="id"))

    def _refuse_known(self, rows: pd.DataFrame) -> None:
        """Refuse rows whose images are in the gallery."""
        places = sorted(set(with_places(rows)[PLACE]) - {""})
        with self.store.view() as view:
            shared = sorted(view.find(PLACE, places)[PLACE]) if places else []
        if shared:
            raise RequestError(
                f"{len(shared)} images are in both galleries, such as {shared[0]}; remove them from one of the two"
            )

    def remove(self, ids: Sequence[int]) -> None:
        """Take rows out, as one new version: no later search finds them; their bytes go at the next `rebuild`.

        Raises
        ------
        RequestError
            Where an id is not there, none would be left, or another process writes to the gallery.
        """
        wanted = sorted(set(map(int, ids)))
        with self.store.writing():
            with self.store.view() as view:
                known, count = set(view.rows(wanted, ("id",))["id"].tolist()), view.count()
            absent = [number for number in wanted if number not in known]
            faults = [f"{len(absent)} ids are not in the gallery, such as {absent[0]}"] if absent else []
            if len(known) == count:
                faults.append("no row would be left; remove the gallery instead")
            raise_faults(faults)
            self.store.delete(wanted)

    def rebuild(self, kind: str | None = None) -> None:
        """Build the index anew, of this kind or the one it has, and measure it; searches go on meanwhile.

        Raises
        ------
        RequestError
            Where the store has no such kind, or another process writes to the gallery.
        """
        with self.store.writing():
            chosen = kind_for(self.store.kind_of_store, len(self), kind or self.record.kind)
            record = indexed(self.store, self.record, chosen)
            self.store.write_record(record)
        self._take_record(record)


def _last_id(view: View) -> int:
    """The largest id; -1 where there is none."""
    return max((int(rows["id"].max()) for rows, _ in view.blocks(("id",), vectors=False) if len(rows)), default=-1)


def _in_order(view: View, ids: Ids | Sequence[int], columns: Sequence[str]) -> pd.DataFrame:
    """Rows with these ids, in their order.

    Raises
    ------
    CcxrError
        One is gone.
    """
    wanted = np.asarray(ids, dtype=np.int64)
    found = view.rows(np.unique(wanted).tolist(), columns)
    return found.iloc[_places(found["id"].to_numpy(dtype=np.int64), wanted)].reset_index(drop=True)


def _places(known: Ids, wanted: Ids) -> Ids:
    """Where each wanted id is among the known ones, which are in any order."""
    if not len(wanted):
        return np.zeros(0, np.int64)
    order = np.argsort(known)
    places = np.searchsorted(known[order], wanted)
    gone = np.ones(len(wanted), bool)
    inside = places < len(known)
    gone[inside] = known[order][places[inside]] != wanted[inside]
    if gone.any():
        raise CcxrError(f"row {wanted[gone][0]} was taken out of the gallery meanwhile; search again")
    return order[places]


def _or_one(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Values to be indexed by places that are masked afterwards: one row stands for none."""
    if len(values):
        return values
    return np.zeros(1, np.int64) if values.dtype.kind in "iu" else np.array([""], dtype=object)
