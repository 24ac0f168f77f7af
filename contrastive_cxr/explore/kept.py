"""What is computed once for a gallery, in one file beside it: places, nearest rows, copies, predictions."""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.files import write_bytes

logger = logging.getLogger(__name__)
NAME = "explore.npz"
VERSION = "1"
_DTYPES = {
    "places": "float32", "rows": "int64", "gaps": "float32", "others": "int64", "other_gaps": "float32",
    "copies": "int64", "probabilities": "float32",
}  # fmt: skip


@dataclass
class Kept:
    """The file's content.

    Attributes
    ----------
    vectors : SHA-256 of the vectors and of the patients that it was computed from
    arrays : {name: array}: `places`, those of `neighbours.Near`, `copies`, `probabilities`
    models : SHA-256 of the weights that made `probabilities`, with spaces between; '' none
    """

    vectors: str
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    models: str = ""


def identity(vectors: NDArray[np.float32], texts: list[str]) -> str:
    """SHA-256 of vectors and of a text a row (its patient and file). A second for 2 GB."""
    made = hashlib.sha256(np.ascontiguousarray(vectors).view(np.uint8).data)
    made.update("\0".join(texts).encode("utf-8", "replace"))
    return made.hexdigest()


def read(folder: Path, vectors: str) -> Kept:
    """What the file in `folder` holds of these vectors; an empty one where it is missing, damaged or of others."""
    try:
        with np.load(folder / NAME, allow_pickle=False) as file:
            about = {name: str(file[name]) for name in ("version", "vectors", "models")}
            if about["version"] != VERSION or about["vectors"] != vectors:
                return Kept(vectors)
            arrays = {name: file[name] for name in file.files if name in _DTYPES}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return Kept(vectors)
    if any(array.dtype != _DTYPES[name] for name, array in arrays.items()):
        return Kept(vectors)
    return Kept(vectors, arrays, about["models"])


def write(folder: Path, kept: Kept) -> None:
    """Write the file; where that cannot be done, it is computed again at the next start."""
    buffer = io.BytesIO()
    about = {name: np.array(word) for name, word in (("version", VERSION), ("vectors", kept.vectors))}
    np.savez(buffer, **about, models=np.array(kept.models), **kept.arrays)  # type: ignore[arg-type]
    try:
        write_bytes(folder / NAME, buffer.getvalue())
    except CcxrError as error:
        logger.warning("the map is not kept, and is made again at the next start: %s", error)
