"""The arrays that an evaluation wrote into a phase's folder `arrays/`; missing ones are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data.tables.text_tables import read_table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.metrics import decisions
from contrastive_cxr.report.figures.sheet import spread
from contrastive_cxr.run.folder import read_array


@dataclass(frozen=True)
class Arrays:
    """The scored rows of a phase and the training rows that neighbours come from.

    Attributes
    ----------
    rows, train_rows : tables of strings: path, root, label, patient, and `class` if it was written
    labels : int64 [N]
    probabilities : float [N, C], or None
    vectors, train_vectors : float32 [N, D], [M, D]
    hidden : float32 [N, H], the classifier's last hidden layer; None if it is not known, or equal to `vectors`
    """

    rows: pd.DataFrame
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None
    vectors: NDArray[np.float32]
    train_rows: pd.DataFrame
    train_vectors: NDArray[np.float32]
    hidden: NDArray[np.float32] | None = None


def read(folder: Path) -> Arrays | None:
    """Read `folder`; None without vectors, labels or rows. Without training vectors, the scored rows are used."""
    needed = [folder / name for name in ("rows.csv", "labels.npy", "vectors.npy")]
    if not all(path.is_file() for path in needed):
        return None
    rows, vectors = _table(needed[0]), read_array(needed[2])
    probabilities = folder / "probabilities.npy"
    train_rows, train_vectors = training_vectors(folder) or (rows, vectors)
    return Arrays(
        rows=rows,
        labels=read_array(needed[1]),
        probabilities=read_array(probabilities) if probabilities.is_file() else None,
        vectors=vectors,
        train_rows=train_rows,
        train_vectors=train_vectors,
        hidden=read_array(folder / "hidden.npy") if (folder / "hidden.npy").is_file() else None,
    )


def training_vectors(folder: Path) -> tuple[pd.DataFrame, NDArray[np.float32]] | None:
    """Rows and vectors float32 [M, D] of the training images, from a phase's `arrays/`.

    Returns
    -------
    tuple or None
        None if the files do not exist.

    Raises
    ------
    RequestError
        The numbers of rows and vectors differ.
    """
    table, file = folder / "train_rows.csv", folder / "train_vectors.npy"
    if not (table.is_file() and file.is_file()):
        return None
    rows, vectors = _table(table), read_array(file)
    if vectors.ndim != 2 or len(vectors) != len(rows):
        raise RequestError(
            f"{file} has shape {list(vectors.shape)}, and {table.name} has {len(rows)} rows; evaluate the run again"
        )
    return rows, vectors


@dataclass(frozen=True)
class Decided:
    """The predictions for the images with a thumbnail, in the order of the table.

    Attributes
    ----------
    rows : int64 [n], their numbers among the scored rows
    thumbnails : uint8 [n, S, S]
    labels, decided : int64 [n], classes and decisions
    probabilities : float [n, C], or None
    paths : n paths as in `rows.csv`; empty texts without that file
    of : how many images were scored
    """

    rows: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]
    labels: NDArray[np.int64]
    decided: NDArray[np.int64]
    probabilities: NDArray[np.floating[Any]] | None
    paths: Sequence[str]
    of: int


def decided(folder: Path, costs: NDArray[np.float64] | None = None) -> Decided | None:
    """The decisions about the images with a thumbnail; None if `folder` has no thumbnails.

    The decision of a cascade is that of its stages; otherwise it is the most probable class (without a classifier by
    the vote), or with costs the class of least expected cost.

    Parameters
    ----------
    folder : Path
        `<phase>/arrays`, or a cascade's `arrays`.
    costs : float64 [C, C], optional
        As from `metrics.decisions.matrix`.
    """
    if not all((folder / f"{name}.npy").is_file() for name in ("thumbnails", "labels")):
        return None
    thumbnails, labels = read_array(folder / "thumbnails.npy"), read_array(folder / "labels.npy")
    rows = spread(len(labels), len(thumbnails))  # reports of earlier versions have at most 400
    verdicts, given = (_first(folder, names) for names in (("verdicts",), ("joined", "probabilities", "votes")))
    if (verdicts is None and given is None) or len(thumbnails) != len(rows):
        return None
    if verdicts is None:
        assert given is not None, "without verdicts there are probabilities"
        verdicts = given.argmax(axis=1) if costs is None else decisions.decide(given, costs)
    table = folder / "rows.csv"
    paths = _table(table)["path"].to_numpy()[rows].tolist() if table.is_file() else [""] * len(rows)
    probabilities = None if given is None else given[rows]
    return Decided(rows, thumbnails, labels[rows], verdicts[rows], probabilities, paths, len(labels))


def _first(folder: Path, names: Sequence[str]) -> NDArray[Any] | None:
    """The first of these arrays that there is."""
    paths = (folder / f"{name}.npy" for name in names)
    return next((read_array(path) for path in paths if path.is_file()), None)


@dataclass(frozen=True)
class ClassMap:
    """Grad-CAM over an image, uint8 [S, S, 3], and whether any place of it stands out.

    `part`: whose map it is, as `evaluation.class_maps.CaseMap` has it; 0 in arrays of earlier versions.
    """

    picture: NDArray[np.uint8]
    signal: bool
    part: int = 0


def class_maps(folder: Path) -> dict[int, ClassMap]:
    """{scored row: its Grad-CAM}; empty if the evaluation made none (no classifier, an earlier version)."""
    pictures, rows = _first(folder, ("gradcam",)), _first(folder, ("gradcam_rows",))
    if pictures is None or rows is None or len(pictures) != len(rows):
        return {}
    found = zip(rows.tolist(), pictures, strict=True)
    return {row: ClassMap(picture, bool(signal), *part) for (row, signal, *part), picture in found}


@dataclass(frozen=True)
class Scored:
    """What a cascade or a pool predicted for the scored images.

    Attributes
    ----------
    rows : table of strings: path, root, label, patient
    labels, decided : int64 [n], true and predicted class
    sure : float [n], probability of the predicted class
    """

    rows: pd.DataFrame
    labels: NDArray[np.int64]
    decided: NDArray[np.int64]
    sure: NDArray[np.floating[Any]]


def scored(folder: Path) -> Scored | None:
    """Read the `arrays` of a cascade or a pool itself; None without them, as a pool of an earlier version has none."""
    labels, given = _first(folder, ("labels",)), _first(folder, ("joined", "probabilities"))
    if labels is None or given is None or not (folder / "rows.csv").is_file():
        return None
    verdicts = _first(folder, ("verdicts",))
    decided = given.argmax(axis=1) if verdicts is None else verdicts
    return Scored(_table(folder / "rows.csv"), labels, decided, given[np.arange(len(given)), decided])


def _table(path: Path) -> pd.DataFrame:
    table = read_table(path)
    return table.reindex(columns=[*table.columns, *({"root", "patient", "label"} - set(table.columns))], fill_value="")


def identities(table: pd.DataFrame, other: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers for the images of two tables: equal for the same file."""
    both = pd.concat([table, other], ignore_index=True)
    codes = pd.factorize(both["root"] + "\n" + both["path"])[0].astype(np.int64)
    return codes[: len(table)], codes[len(table) :]


def patients(table: pd.DataFrame, other: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers for the patients of two tables, -1 if unknown."""
    names = pd.concat([table["patient"], other["patient"]], ignore_index=True)
    codes = np.where(names == "", -1, pd.factorize(names)[0]).astype(np.int64)
    return codes[: len(table)], codes[len(table) :]
