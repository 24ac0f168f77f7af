"""A gallery in Lance files: `vectors.lance` (or an address in an object store) beside `gallery.json`."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from contrastive_cxr import locks
from contrastive_cxr.engine.allocator import hand_back_freed_memory
from contrastive_cxr.errors import CcxrError, RequestError, raise_faults
from contrastive_cxr.files import read_json, write_bytes
from contrastive_cxr.retrieval.index import Kind
from contrastive_cxr.retrieval.rows import Vectors
from contrastive_cxr.retrieval.stores.lance_library import imported
from contrastive_cxr.retrieval.stores.lance_view import LanceView, batch, schema
from contrastive_cxr.retrieval.stores.record import StoreName, StoreRecord, parse
from contrastive_cxr.retrieval.stores.store import PLACE, VECTOR
from contrastive_cxr.retrieval.stores.training import trained
from contrastive_cxr.space import FULL, unwritable

RECORD, FILLING, DATA = "gallery.json", "filling.json", "vectors.lance"
NAME = "vector_idx"
SMALL = 131_072
"""Rows of a file below which, on average, the files are gathered; that takes 0.7 GiB for the time. Many files at once
would take more when the index is built: of a million rows in 16 files 1.03 GiB, gathered 0.96."""
CACHE = 2**30
"""Bytes of the index, and of the files' metadata, that are kept in memory."""
KEPT = timedelta(hours=1)
"""How long old versions stay for searches that began with them."""
_TREES, _BITMAPS = ("id", "patient", PLACE, "digest"), ("label", "split")
_NUMBER = re.compile(r"os error (\d+)")


class LanceStore:
    """Lance files below a folder; see `store.Store`.

    Parameters
    ----------
    folder : Path
        Holds `gallery.json`.
    address : str
        Where the Lance files are, where that is not `vectors.lance` in the folder.
    """

    kind_of_store: StoreName = "lance"

    def __init__(self, folder: Path, address: str = "") -> None:
        self.folder, self._address = Path(folder), address
        self._open: Any = None
        self._session: Any = None
        self._guard = threading.Lock()

    def __str__(self) -> str:
        return str(self.folder)

    def record(self) -> StoreRecord:
        """`gallery.json`, checked against the files' columns."""
        lance = imported()
        path = self.folder / RECORD
        if not path.is_file():
            raise RequestError(f"{path} is missing; give a folder that ccxr index wrote")
        try:
            record = parse(str(path), read_json(path))
        except ValueError as error:
            raise RequestError(f"{path} is not JSON ({error}); make the gallery again") from error
        self._address = record.vectors
        dataset = self._dataset(lance)
        raise_faults(drifted(str(self.folder), record, dataset.schema))
        return record

    @contextmanager
    def view(self) -> Iterator[LanceView]:
        """The newest version."""
        with said(self.folder):
            yield LanceView(self._dataset(imported()))

    def writing(self) -> Any:
        """Hold the folder; another process that does is named."""
        return locks.held(self.folder / locks.NAME, f"the gallery '{self.folder}'")

    def begin(self, record: StoreRecord) -> int:
        """Make the files, or go on with those of the same source."""
        lance, record = imported(), record.model_copy(update={"vectors": self._address})
        if (self.folder / RECORD).exists():
            raise RequestError(f"{self.folder}: holds a gallery already; name another folder, or remove it")
        if (self.folder / FILLING).is_file():
            known = parse(str(self.folder / FILLING), read_json(self.folder / FILLING))
            if known.source != record.source:
                raise RequestError(
                    f"{self.folder}: holds an unfinished gallery of other images or another model; name another "
                    "folder, or remove it"
                )
            with suppress(RequestError):  # killed before there was a version
                return int(self._dataset(lance).count_rows())
        write_bytes(self.folder / FILLING, (record.model_dump_json(indent=2) + "\n").encode())
        with said(self.folder):
            lance.write_dataset(
                iter(()), self._data, schema=schema(record.columns, record.dimensions), mode="create"
            )  # fmt: skip
        return 0

    def append(self, blocks: Iterable[tuple[pd.DataFrame, Vectors]]) -> None:
        """Add rows as one new version; a block at a time is in memory."""
        lance = imported()
        dataset = self._dataset(lance)
        with said(self.folder):
            raised: list[BaseException] = []
            batches = _batches(blocks, dataset.schema, raised)
            try:
                lance.write_dataset(batches, dataset.uri, schema=dataset.schema, mode="append", session=self._session)
            except BaseException:
                if raised:  # Lance says of it that its stream failed
                    raise raised[0] from None
                raise

    def delete(self, ids: Sequence[int]) -> None:
        """Take rows out as one new version."""
        dataset = self._dataset(imported())
        with said(self.folder):
            dataset.delete(f"id IN ({', '.join(map(str, map(int, ids)))})")

    def build_index(self, kind: Kind, columns: Sequence[str]) -> Mapping[str, str]:
        """Gather small files into large ones, and build the indexes; centroids and codes are trained here, on a sample.

        Vectors go from file to file in blocks, so memory grows with the number of lists and not with that of the rows.
        """
        lance = imported()
        dataset = self._dataset(lance)
        with said(self.folder):
            fragments = len(dataset.get_fragments())
            if fragments > max(1, dataset.count_rows() // SMALL):
                dataset.optimize.compact_files(target_rows_per_fragment=2**20, batch_size=1024, num_threads=1)
                dataset = self._dataset(lance)
                hand_back_freed_memory()
            for name in dict.fromkeys([*_TREES, *_BITMAPS]):
                if name in dataset.schema.names:
                    dataset.create_scalar_index(name, "BITMAP" if name in _BITMAPS else "BTREE", replace=True)
            if kind == "exact" and NAME in [each.name for each in dataset.describe_indices()]:
                dataset.drop_index(NAME)
            if kind != "exact":
                centroids, codebook = trained(*LanceView(dataset).sample())
                hand_back_freed_memory()
                dataset.create_index(
                    VECTOR, "IVF_PQ", name=NAME, metric="l2", replace=True, num_partitions=len(centroids),
                    num_sub_vectors=len(codebook), num_bits=int(np.log2(codebook.shape[1])), ivf_centroids=centroids,
                    pq_codebook=codebook,
                )  # fmt: skip
            unread = (self.folder / FILLING).is_file()  # a gallery that is not finished has no searches
            self._dataset(lance).cleanup_old_versions(older_than=timedelta(0) if unread else KEPT)
        return {"lance": str(lance.__version__)}

    def write_record(self, record: StoreRecord) -> None:
        """Write `gallery.json`; the gallery is then finished."""
        content = record.model_copy(update={"vectors": self._address}).model_dump_json(indent=2) + "\n"
        write_bytes(self.folder / RECORD, content.encode())
        (self.folder / FILLING).unlink(missing_ok=True)

    @property
    def _data(self) -> str:
        return self._address or str(self.folder / DATA)

    def _dataset(self, lance: Any) -> Any:
        """The newest version; those that are in use stay as they are."""
        with self._guard, said(self.folder):
            if self._open is None:
                if not self._address and not Path(self._data).is_dir():
                    raise RequestError(f"{self._data} is missing; make the gallery again")
                self._session = lance.Session(index_cache_size_bytes=CACHE, metadata_cache_size_bytes=CACHE // 4)
                self._open = lance.dataset(self._data, session=self._session)
            elif self._open.latest_version != self._open.version:
                self._open = lance.dataset(self._data, session=self._session)
            return self._open


def _batches(blocks: Iterable[tuple[pd.DataFrame, Vectors]], schema: Any, raised: list[BaseException]) -> Iterator[Any]:
    """Blocks as Lance takes them; what comes up in making one is put into `raised`."""
    try:
        for rows, vectors in blocks:
            yield batch(rows, vectors, schema)
    except GeneratorExit:
        raise
    except BaseException as error:
        raised.append(error)
        raise


def drifted(place: str, record: StoreRecord, found: Any) -> list[str]:
    """What the files' columns lack of those that the record names, and another length of the vectors."""
    names = [name for name in (*record.columns, PLACE, VECTOR) if name not in found.names]
    faults = [f"{place}: its files have no column '{name}', which gallery.json names" for name in names]
    if VECTOR in found.names:
        width = getattr(found.field(VECTOR).type, "list_size", None)
        if width != record.dimensions:
            faults.append(f"{place}: gallery.json says vectors of {record.dimensions} numbers, its files hold {width}")
    return [f"{fault}; another program changed them: make the gallery again" for fault in faults]


@contextmanager
def said(folder: Path) -> Iterator[None]:
    """Say what Lance raises in our words: a full disk, no right to write, files that it cannot read."""
    try:
        yield
    except CcxrError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        words = str(error)
        number = _NUMBER.search(words)
        if number:
            known = OSError(int(number[1]), os.strerror(int(number[1])))
            if known.errno in FULL:
                raise unwritable(folder, known, then="nothing was changed there") from error
            raise RequestError(f"{folder}: cannot be read or written: {known.strerror}") from error
        first = words.partition("\n")[0].partition(", /")[0].removeprefix("LanceError")
        raise RequestError(f"{folder}: Lance cannot use its files ({first[:300]})") from error
