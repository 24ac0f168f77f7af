"""What is encoded: image files, or the run's own images from their cache; read a few at a time."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.data.files.addresses import join, of_path
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.given_images import Frames, images_of
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval.image_inputs import squares
from contrastive_cxr.run_folder import recorded

PARTS = ("train", "val", "test", "all")


class Pictures(Protocol):
    """N images in an order of their own."""

    def __len__(self) -> int:
        """N."""

    def pixels(self, first: int, end: int) -> Tensor:
        """Images first..end-1 as the network was trained on: uint8 [end - first, 1, S, S], on the CPU."""

    def rows(self, first: int, end: int) -> pd.DataFrame:
        """A row an image, `file` first."""


@dataclass(frozen=True)
class Files:
    """Image files, decoded when they are asked for. The names are text: a `Path` takes three times as much memory."""

    files: list[str]
    settings: schema.Data
    squeezed: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def pixels(self, first: int, end: int) -> Tensor:
        """As in `Pictures`; unreadable files are named in one `RequestError`."""
        return squares(self.files[first:end], self.settings, first, self.squeezed)

    def rows(self, first: int, end: int) -> pd.DataFrame:
        """`file` alone."""
        return pd.DataFrame({"file": [shown(name) for name in self.files[first:end]]})


@dataclass(frozen=True)
class Recorded:
    """Images of a run, from the cache they were decoded into."""

    data: Dataset
    chosen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.chosen)

    def pixels(self, first: int, end: int) -> Tensor:
        """As in `Pictures`."""
        return torch.from_numpy(self.data.take(self.chosen[first:end]))

    def rows(self, first: int, end: int) -> pd.DataFrame:
        """`file`, and as the run recorded them `class`, `patient` and `split`."""
        chosen = self.chosen[first:end]
        rows = self.data.manifest.rows.iloc[chosen]
        classes = np.array(self.data.classes, dtype=object)[self.data.labels[chosen]]
        files = [shown(join(root, path)) for root, path in zip(rows["root"], rows["path"], strict=True)]
        return pd.DataFrame(
            {"file": files, "class": classes, "patient": rows["patient"].to_numpy(), "split": self.data.split[chosen]}
        )


def pictures_of(
    run: Path, source: str | Path, settings: schema.Data, frames: Frames = None, axis: schema.AxisName = "axial"
) -> Pictures:
    """The images of a source.

    Parameters
    ----------
    run : Path
        A run, or a phase's folder in it.
    source : str or Path
        `train`, `val`, `test` or `all`: images of the run. Else an image, folder, archive or URL; `./test` is a folder.
    settings : schema.Data
        How the model wants files decoded.
    frames, axis : as in `given.images_of`

    Raises
    ------
    RequestError
        No such part, run, file or folder; images that changed since the run.
    """
    if source not in PARTS:
        return Files([of_path(path) for path in images_of(Path(source), frames, axis)], settings)
    home = next((place for place in (run, run.parent) if (place / "recipe.yaml").is_file()), run)
    scored = None if source == "all" else str(source)
    data = recorded.reopen(home, recorded.recipe_of(home), scored)
    chosen = np.flatnonzero(data.split != "unused") if scored is None else data.rows(scored)
    if not len(chosen):
        raise RequestError(f"{home}: no image is in its part '{source}'; name another part, or a folder of images")
    return Recorded(data, chosen)


def squeezed_of(pictures: Pictures) -> dict[str, int]:
    """Files that this process read and that keep too few grey levels; of a run's own images its report tells."""
    return pictures.squeezed if isinstance(pictures, Files) else {}


def shown(name: str) -> str:
    """A file's name as text that every program reads: bytes that are no UTF-8 stand there as `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def digest(pictures: Pictures) -> str:
    """SHA-256 of the names and their order: what an encoding that goes on is held to."""
    found = hashlib.sha256()
    for first in range(0, len(pictures), 4096):
        names = pictures.rows(first, min(first + 4096, len(pictures)))["file"]
        found.update("".join(f"{name}\0" for name in names).encode())
    return found.hexdigest()
