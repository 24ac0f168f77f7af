"""What a gallery holds: vectors, rows, the index over them, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
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


class Held:
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
    def model_digest(self) -> str:
        """Identity of the model that made the vectors; '' where it is not known."""
        return self.about.model

    @property
    def rows(self) -> pd.DataFrame:
        """The rows; of a large loaded gallery they are read now."""
        if isinstance(self._rows, Path):
            self._rows = table(gallery_files.read_rows(self._rows, len(self)))
        return self._rows

    def check_model(self, digest: str, preprocessing: dict[str, Any] | None = None) -> None:
        """Raise `RequestError` where the gallery was made by another model, or with images read in another way."""
        if self.model_digest and digest != self.model_digest:
            raise RequestError(
                f"the gallery is of model {self.model_digest[:12]}, these queries are of {digest[:12]}; vectors of two "
                "models cannot be compared: build the gallery again with this model"
            )
        ours, theirs = self.about.preprocessing or {}, preprocessing or {}
        other = [name for name in ours if theirs and ours[name] != theirs.get(name)]
        if other:
            name = other[0]
            raise RequestError(
                f"the gallery's images were read with {name}={ours[name]}, these queries with {name}="
                f"{theirs.get(name)}; their vectors cannot be compared: build the gallery again with this model"
            )

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
