"""A gallery from one store into another, or into a folder and back: block by block, with the same ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from contrastive_cxr import locks
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import AtomicWrites
from contrastive_cxr.retrieval.gallery import Gallery
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.rows import Vectors
from contrastive_cxr.retrieval.searched import Searched
from contrastive_cxr.retrieval.stores.filling import fill
from contrastive_cxr.retrieval.stores.gallery import StoreGallery
from contrastive_cxr.retrieval.stores.record import StoreRecord
from contrastive_cxr.retrieval.stores.store import Store


def converted(source: Searched, out: Path | None, store: Store | None, kind: str = "auto") -> Searched:
    """Write a gallery's rows and vectors to another place, and build an index there.

    The rows' table is in memory meanwhile, the vectors are not.

    Parameters
    ----------
    out : Path, optional
        New folder, where `store` is None.
    kind : str
        Of index, at the new place.
    """
    about = About(source.about.model, source.about.preprocessing, source.about.made_by, kind)  # type: ignore[arg-type]
    if store is not None:
        return StoreGallery(store, _filled(source, about, store))
    if out is None:
        raise RequestError("name a new folder for the gallery")
    return _folder(source, about, out, kind)


def _filled(source: Searched, about: About, store: Store) -> StoreRecord:
    if isinstance(source, Gallery):
        vectors = source.vectors
        return fill(store, about, vectors.shape[1], source.rows, lambda first, end: np.asarray(vectors[first:end]))
    assert isinstance(source, StoreGallery), "a gallery is in a folder or a store"
    with source.store.view() as view:
        rows = pd.concat([rows for rows, _ in view.blocks(source.columns, vectors=False)], ignore_index=True)
        parts = _Rising(view.blocks(("id",)), source.record.dimensions)
        return fill(store, about, source.record.dimensions, rows, parts.upto)


def _folder(source: Searched, about: About, out: Path, kind: str) -> Gallery:
    """A folder of a gallery's own files; its vectors are a file while they are gathered."""
    assert isinstance(source, StoreGallery), "the other kinds are folders already"
    count, done, tables = len(source), 0, []
    with locks.held(out / locks.NAME, f"the gallery '{out}'"):
        with AtomicWrites(out) as together:
            path, width = together.place("vectors.npy"), source.record.dimensions
            gathered = np.lib.format.open_memmap(path, "w+", np.float32, (count, width))
            with source.store.view() as view:
                for rows, vectors in view.blocks(source.columns):
                    if done + len(rows) > count:
                        raise RequestError(f"{source.store}: rows were added meanwhile; convert it again")
                    gathered[done : done + len(rows)] = vectors
                    tables.append(rows)
                    done += len(rows)
            gathered.flush()
            made = Gallery.build(
                gathered[:done], pd.concat(tables, ignore_index=True), about.model, kind=kind,
                preprocessing=about.preprocessing, made_by=about.made_by,
            )  # fmt: skip
        made.save(out)
    return made


class _Rising:
    """Vectors of rising rows, from blocks of any size.

    Parameters
    ----------
    blocks : of `View.blocks`
    width : int
    """

    def __init__(self, blocks: Iterator[tuple[pd.DataFrame, Vectors]], width: int) -> None:
        self._blocks, self._first = blocks, 0
        self._held = np.zeros((0, width), np.float32)

    def upto(self, first: int, end: int) -> Vectors:
        """Vectors of the rows from `first` to `end - 1`; `first` never falls."""
        while self._first + len(self._held) < end:
            known, (_, vectors) = self._held, next(self._blocks)
            skipped = max(0, min(len(known), first - self._first))
            self._first += skipped
            self._held = np.concatenate([known[skipped:], vectors])
        return self._held[first - self._first : end - self._first]
