"""Neighbour scores of folders that `ccxr encode` wrote, read part by part."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.inference import shards
from contrastive_cxr.metrics import parts
from contrastive_cxr.metrics.neighbours import NeighbourScores
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.run import parquet
from contrastive_cxr.spread import Engine

LABELS = ("class", "label")
"""Columns of the class of an image, the one to use first."""


@dataclass(frozen=True)
class Folder:
    """The parts of a finished encoding (`metrics.parts.Parts`)."""

    place: str
    files: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def opened(cls, place: Path) -> Folder:
        """Of a folder.

        Raises
        ------
        RequestError
            It holds no encoding, or one that is not finished.
        """
        record = shards.read(place) if place.is_dir() else None
        if record is None:
            raise RequestError(f"{place}: holds no encoding; give a folder that ccxr encode --out FOLDER wrote")
        if not record.complete:
            raise RequestError(f"{place}: its encoding is not finished; the command that began it goes on with it")
        return cls(
            str(place.resolve()), tuple(each.file for each in record.parts), tuple(each.images for each in record.parts)
        )

    def vectors(self, number: int) -> NDArray[np.float32]:
        """As in `metrics.parts.Parts`."""
        return parquet.read_vectors(Path(self.place) / self.files[number])

    def rows(self) -> pd.DataFrame:
        """`file`, `label` (its class) and `patient` of all images; '' where one is unknown.

        Raises
        ------
        RequestError
            No labels, or images without one.
        """
        read = [parquet.read_columns(Path(self.place) / file, ("file", "patient", *LABELS)) for file in self.files]
        table = pd.concat([pd.DataFrame(each) for each in read], ignore_index=True).fillna("")
        name = next((each for each in LABELS if each in table), None)
        if name is None:
            raise RequestError(f"{self.place}: knows no labels; encode a part of the run, or a source that has labels")
        without = int((table[name].astype(str) == "").sum())
        if without:
            raise RequestError(
                f"{self.place}: {without} of {len(table)} images have no label; encode those that have one"
            )
        told = {"file": table["file"], "label": table[name].astype(str), "patient": table.get("patient", "")}
        return pd.DataFrame(told)


def neighbour_scores(
    gallery: str | Path, queries: str | Path | None = None, *, k: tuple[int, ...] = (1, 5, 10), vote: int = 20,
    memory: int = parts.MEMORY, engine: Engine = Engine(),  # noqa: B008 (frozen)
) -> tuple[NeighbourScores, tuple[str, ...]]:  # fmt: skip
    """MAP@R, R-precision and the vote of the nearest, of vectors in Parquet parts.

    Parameters
    ----------
    gallery, queries : path
        Folders that `ccxr encode` wrote. Without `queries` each image of the gallery is searched among the others. An
        image is no neighbour of itself, nor of another of its patient.
    k, vote, memory : as for `metrics.parts.scores`
    engine : Engine
        Of Ray: workers compute the blocks of queries; they have to see the folders.

    Returns
    -------
    NeighbourScores, and the names of the classes

    Raises
    ------
    RequestError
        No finished encoding, or images without a label.
    CcxrError
        A part is damaged, or Ray gave up.
    """
    found: list[Folder] = []
    faults = []
    for place in dict.fromkeys([Path(gallery), Path(queries or gallery)]):
        faults += faults_of(lambda place=place: found.append(Folder.opened(place)))  # type: ignore[misc]
    raise_faults([*faults, *engine.faults()])
    theirs, mine = found[0].rows(), found[-1].rows()
    classes = tuple(sorted({*theirs["label"], *mine["label"]}))
    labels, files, patients = (_numbered(theirs[name], mine[name]) for name in ("label", "file", "patient"))
    with _workers(engine) as cluster:
        told = parts.scores(
            found[0], labels[0], found[-1], labels[1], k=k, vote=vote, classes=len(classes), memory=memory,
            spread=cluster, gallery_ids=files[0], query_ids=files[1], gallery_patients=patients[0],
            query_patients=patients[1],
        )  # fmt: skip
    return told, classes


def _numbered(gallery: pd.Series[Any], queries: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same number for the same word in both, in their order; -1 for ''."""
    words = pd.concat([gallery, queries]).astype(str).to_numpy()
    names = np.unique(words)
    names = names[names != ""]
    numbers = np.searchsorted(names, words)
    numbers = np.where(words == "", -1, numbers).astype(np.int64)
    return numbers[: len(gallery)], numbers[len(gallery) :]


def _workers(engine: Engine) -> AbstractContextManager[Any]:
    if not engine.is_ray:
        return nullcontext()
    from contrastive_cxr.distributed import connected

    return connected(engine)
