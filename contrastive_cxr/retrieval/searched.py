"""What every gallery can be asked, whether it lies in a folder or in a store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import contrastive_cxr.retrieval.voting as voting
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.measure import Familiar, Recall
from contrastive_cxr.retrieval.result import SearchResult
from contrastive_cxr.retrieval.rows import Ids, Vectors, Where, unit_vectors

if TYPE_CHECKING:
    from contrastive_cxr.retrieval.image_inputs import Inputs
    from contrastive_cxr.retrieval.model import EmbeddingModel


class Searched(ABC):
    """A gallery that can be searched. A row is named by its position: in a folder its number, in a store its `id`.

    Attributes
    ----------
    about : About
        `model` (digest of the model that made the vectors; '' not known), `preprocessing`, `made_by`, `kind`.
    recall : Recall or None
        The share of the truly nearest that the index gives, as measured at build; None for `exact`, which gives all.
    """

    about: About
    recall: Recall | None

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @property
    @abstractmethod
    def familiar(self) -> Familiar | None:
        """Distances of the gallery's own cases to their nearest; None where it has no two that count."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the rows' columns."""

    @abstractmethod
    def search(
        self,
        queries: npt.ArrayLike,
        k: int = 5,
        exclude_patients: Sequence[str] | None = None,
        model_digest: str | None = None,
        where: Where | None = None,
    ) -> SearchResult:
        """Find the nearest rows of each query; see `Gallery.search`."""

    @abstractmethod
    def take(self, positions: Ids | Sequence[int]) -> pd.DataFrame:
        """The rows at these positions, in their order."""

    @abstractmethod
    def take_vectors(self, positions: Ids | Sequence[int]) -> Vectors:
        """The vectors at these positions, float32 [n, D], in their order."""

    @abstractmethod
    def find(self, column: str, values: Iterable[str]) -> dict[str, list[int]]:
        """Positions of the rows that have one of these values in a column, by value; of absent values none."""

    @abstractmethod
    def at_files(self, files: Sequence[str]) -> list[int | None]:
        """Position of the row whose image is this file (an absolute address); None where there is none."""

    @abstractmethod
    def at_places(self, places: Sequence[str]) -> list[int | None]:
        """As `at_files`, for roots and paths joined as the rows have them; '' is nowhere."""

    @abstractmethod
    def count(self, column: str, value: str) -> int:
        """Rows that have this value in a column."""

    @abstractmethod
    def labels(self) -> dict[str, int]:
        """Rows of each label."""

    @property
    @abstractmethod
    def dimensions(self) -> int:
        """Numbers of a vector."""

    @property
    def model_digest(self) -> str:
        """Identity of the model that made the vectors; '' where it is not known."""
        return self.about.model

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

    def _asked(
        self, queries: npt.ArrayLike, k: int, exclude_patients: Sequence[str] | None, model_digest: str | None
    ) -> Vectors:
        """The queries of a search as float32 [Q, D] of unit length; parameters and errors as of `Gallery.search`."""
        if model_digest is not None:
            self.check_model(model_digest)
        checked = unit_vectors(np.atleast_2d(np.asarray(queries)), "queries")
        if checked.shape[1] != self.dimensions:
            raise RequestError(
                f"queries have {checked.shape[1]} dimensions, the gallery {self.dimensions}; use its model"
            )
        if k < 1:
            raise RequestError(f"k={k}; give at least 1")
        if exclude_patients is not None and len(exclude_patients) != len(checked):
            raise RequestError(f"{len(exclude_patients)} patients for {len(checked)} queries; give one a query")
        return checked

    def search_images(
        self,
        model: EmbeddingModel,
        inputs: Inputs,
        k: int = 5,
        exclude_patients: Sequence[str] | None = None,
        where: Where | None = None,
    ) -> SearchResult:
        """Embed pictures with `model`, which must be the gallery's, and search for them; see `EmbeddingModel.embed`."""
        self.check_model(model.digest, model.preprocessing)
        return self.search(model.embed(inputs), k, exclude_patients, where=where)

    def classify(
        self, queries: npt.ArrayLike, classes: Sequence[str], k: int = 20, **search: Any
    ) -> npt.NDArray[np.float64]:
        """Class probabilities float64 [Q, C] by the vote of the k nearest rows, as `retrieval.voting.shares` says.

        Parameters
        ----------
        classes : sequence of str
            Labels, in the order of the columns; neighbours with other labels do not vote.
        **search : as in `search`
        """
        known = self.labels()
        raise_faults([f"classes: '{name}' is no label of the gallery" for name in classes if name not in known])
        return voting.shares(self.search(queries, k, **search), classes)
