"""What a phase left in its `arrays/` folder, as far as it is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Arrays:
    """The scored rows of a phase and the training rows that neighbours come from.

    Attributes
    ----------
    rows, train_rows : tables of strings: path, root, label, patient, and `class` where it was written
    labels : int64 [N]
    probabilities : float [N, C], or None
    vectors, train_vectors : float32 [N, D], [M, D]
    """

    rows: pd.DataFrame
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None
    vectors: NDArray[np.float32]
    train_rows: pd.DataFrame
    train_vectors: NDArray[np.float32]


def read(folder: Path) -> Arrays | None:
    """Read `folder`; None without vectors, labels or rows. Without training vectors the rows stand in."""
    needed = [folder / name for name in ("rows.csv", "labels.npy", "vectors.npy")]
    if not all(path.is_file() for path in needed):
        return None
    rows, vectors = _table(needed[0]), np.load(needed[2])
    probabilities = folder / "probabilities.npy"
    train = [folder / name for name in ("train_rows.csv", "train_vectors.npy")]
    known = all(path.is_file() for path in train)
    return Arrays(
        rows=rows,
        labels=np.load(needed[1]),
        probabilities=np.load(probabilities) if probabilities.is_file() else None,
        vectors=vectors,
        train_rows=_table(train[0]) if known else rows,
        train_vectors=np.load(train[1]) if known else vectors,
    )


def _table(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.reindex(columns=[*table.columns, *({"root", "patient", "label"} - set(table.columns))], fill_value="")


def identities(table: pd.DataFrame, other: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the images of two tables, the same for the same file."""
    both = pd.concat([table, other], ignore_index=True)
    codes = pd.factorize(both["root"] + "\n" + both["path"])[0].astype(np.int64)
    return codes[: len(table)], codes[len(table) :]


def patients(table: pd.DataFrame, other: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the patients of two tables, -1 where unknown."""
    names = pd.concat([table["patient"], other["patient"]], ignore_index=True)
    codes = np.where(names == "", -1, pd.factorize(names)[0]).astype(np.int64)
    return codes[: len(table)], codes[len(table) :]
