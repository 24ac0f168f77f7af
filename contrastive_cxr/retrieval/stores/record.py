"""What a gallery in a store says of itself: `gallery.json` beside Lance files, a row of a table in PostgreSQL."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contrastive_cxr.errors import RequestError
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.index import Kind
from contrastive_cxr.retrieval.measure import Familiar, Recall

StoreName = Literal["lance", "postgresql"]
FORMAT = 1
AUTO_EXACT = 20_000
"""Rows up to which `auto` builds no index: a store reads the vectors from disk for every exact search."""
KINDS: dict[StoreName, tuple[Kind, ...]] = {"lance": ("exact", "ivf-pq"), "postgresql": ("exact", "hnsw")}


class StoreRecord(BaseModel):
    """The record. The number of rows is not in it: it is counted in the version that is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: StoreName = Field(description="what holds the rows")
    format: Literal[1] = Field(1, description="version of this record")
    metric: Literal["inner product of unit vectors"] = Field("inner product of unit vectors", description="the measure")
    dimensions: Annotated[int, Field(ge=1)] = Field(description="length of a vector")
    columns: tuple[str, ...] = Field(description="of the rows, `id` first")
    model: str = Field(description="digest of the model that made the vectors; empty: not known")
    preprocessing: dict[str, Any] = Field({}, description="how that model reads an image; empty: not known")
    made_by: str = Field("", description="folder of that model when the gallery was made; empty: not known")
    vectors: str = Field("", description="address of the Lance files; empty: vectors.lance beside this record")
    source: str = Field("", description="while it is filled: digest of the rows and the model")
    kind: Kind = Field("exact", description="how rows are found")
    effort: Annotated[int, Field(ge=0)] = Field(0, description="ivf-pq: lists looked through; hnsw: ef_search")
    recall: Recall | None = Field(None, description="share of the truly nearest rows that the index gives")
    familiar: Familiar | None = Field(None, description="distances of the gallery's own cases")
    measured: Annotated[int, Field(ge=0)] = Field(0, description="rows when the index was built and measured")
    versions: dict[str, str] = Field({}, description="of the libraries that wrote it")

    @property
    def about(self) -> About:
        """As a gallery in a folder says it."""
        return About(self.model, self.preprocessing, self.made_by, self.kind, self.familiar)


def parse(place: str, found: Any) -> StoreRecord:
    """A record that was read.

    Raises
    ------
    RequestError
        It is of another version of this program, or no record.
    """
    known = found.get("format") if isinstance(found, dict) else None
    if isinstance(known, int) and known != FORMAT:
        age = "an older" if known < FORMAT else "a newer"
        raise RequestError(
            f"{place}: is a store of {age} version of contrastive_cxr (format {known}; this one reads {FORMAT}); make "
            "it again, or use that version"
        )
    try:
        return StoreRecord.model_validate(found)
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the record"
        raise RequestError(
            f"{place}: its record is damaged ({where}: {first['msg']}); make the gallery again"
        ) from error


def kind_for(store: StoreName, rows: int, word: str = "auto") -> Kind:
    """The kind that `auto` stands for, or the word itself.

    Raises
    ------
    RequestError
        The store has no such kind.
    """
    kinds = KINDS[store]
    if word == "auto":
        return "exact" if rows <= AUTO_EXACT else kinds[1]
    if word not in kinds:
        raise RequestError(f"--kind {word}: a gallery in {store} is {' or '.join(kinds)}, or auto by size")
    return word


def check_kind(store: StoreName, word: str) -> None:
    """Refuse a word that is neither `auto` nor a kind of this store."""
    kind_for(store, 1, word)
