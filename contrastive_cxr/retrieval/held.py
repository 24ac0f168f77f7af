"""What a gallery holds: vectors, rows, the index over them, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import contrastive_cxr.retrieval.gallery_files as gallery_files
import contrastive_cxr.retrieval.measure as measure
from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.index import Index
from contrastive_cxr.retrieval.measure import Familiar, Recall
from contrastive_cxr.retrieval.rows import Ids, Vectors, table
from contrastive_cxr.retrieval.rows import places as places_of
from contrastive_cxr.retrieval.searched import Searched

_FILES_COMPARED = 1_000_000  # rows whose files are resolved to see whether a query is one of them


class Held(Searched):
    """Vectors and their rows.

    Attributes
    ----------
    vectors : float32 [M, D]
        Unit length; of a loaded gallery mapped from disk.
    rows : DataFrame
        M rows: `id` (int64, unique), `label`, `patient`, `path`, `split` ('' unknown), and any other column, as text.
    about : About
        `model` (digest of the model that made the vectors; '' not known), `preprocessing`, `made_by`, `kind`.
    index : Index
    recall : Recall or None
        The share of the truly nearest that the index gives, as measured at build; None for `exact`, which gives all.
    """

    def __init__(
        self, vectors: Vectors, rows: pd.DataFrame | Path, about: About, index: Index, recall: Recall | None = None
    ) -> None:
        self.vectors, self.about, self.index, self.recall = vectors, about, index, recall
        self._rows, self._fixed = rows, False

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return int(self.vectors.shape[1])

    @property
    def rows(self) -> pd.DataFrame:
        """The rows; of a large loaded gallery they are read now."""
        if isinstance(self._rows, Path):
            self._rows = table(gallery_files.read_rows(self._rows, len(self)))
        return self._rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the rows' columns."""
        return tuple(map(str, self.rows.columns))

    def take(self, positions: Ids | Sequence[int]) -> pd.DataFrame:
        """The rows at these positions, in their order."""
        return self.rows.iloc[np.asarray(positions, dtype=np.int64)]

    def take_vectors(self, positions: Ids | Sequence[int]) -> Vectors:
        """The vectors at these positions, float32 [n, D], in their order."""
        return np.asarray(self.vectors[np.asarray(positions, dtype=np.int64)], dtype=np.float32)

    def find(self, column: str, values: Iterable[str]) -> dict[str, list[int]]:
        """Positions of the rows that have one of these values in a column, by value; of absent values none."""
        known = self.rows[column].to_numpy() if column in self.rows else np.array([], dtype=object)
        return {value: np.flatnonzero(known == value).tolist() for value in values}

    def at_files(self, files: Sequence[str]) -> list[int | None]:
        """Position of the row whose image is this file; None where there is none, or in more than a million rows."""
        if len(self) > _FILES_COMPARED:
            return [None] * len(files)
        known = {Path(place).resolve(): number for number, place in enumerate(places_of(self.rows))}
        return [known.get(Path(file).resolve()) for file in files]

    def at_places(self, places: Sequence[str]) -> list[int | None]:
        """As `at_files`, for roots and paths joined as the rows have them; '' is nowhere."""
        known = {place: number for number, place in enumerate(places_of(self.rows)) if place}
        return [known.get(place) for place in places]

    def count(self, column: str, value: str) -> int:
        """Rows that have this value in a column."""
        return int((self.rows[column] == value).sum()) if column in self.rows else 0

    def labels(self) -> dict[str, int]:
        """Rows of each label."""
        return {str(name): int(number) for name, number in self.rows["label"].value_counts(sort=False).items()}

    @property
    def familiar(self) -> Familiar | None:
        """Distances of the gallery's own cases to their nearest; None where it has no two that count."""
        if self.about.familiar is None:
            self.about = replace(self.about, familiar=measure.familiar(self.vectors, self._patients[0]))
        return self.about.familiar

    def _changeable(self) -> None:
        if self._fixed:
            raise RequestError("a gallery loaded with mapped=True cannot be changed; load it without")

    def _changed(self, rows: pd.DataFrame) -> None:
        """Take the new rows, and forget what was known of the old ones."""
        self._rows, self.recall, self.about = rows, None, replace(self.about, familiar=None)
        for name in ("_columns", "_patients"):
            self.__dict__.pop(name, None)

    @cached_property
    def _columns(self) -> dict[str, Any]:
        """Arrays [M] of what a result tells."""
        text = {name: self.rows[name].to_numpy(dtype=object) for name in ("label", "path", "patient")}
        return {"id": self.rows["id"].to_numpy(), **text}

    @cached_property
    def _patients(self) -> tuple[Ids, dict[str, int]]:
        """A number for each row's patient, int64 [M], -1 unknown; and the numbers of the names."""
        names = pd.Series(self._columns["patient"])
        numbers, known = pd.factorize(names.where(names != "", None))
        return np.asarray(numbers, dtype=np.int64), {str(name): number for number, name in enumerate(known)}

    def _numbers(self, patients: Sequence[str]) -> Ids:
        known = self._patients[1]
        return np.array([known.get(patient, -1) for patient in patients], dtype=np.int64)
