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
from contrastive_cxr.data.files.addresses import is_url, join
from contrastive_cxr.engine.allocator import hand_back_freed_memory
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference.given_images import Frames
from contrastive_cxr.inference.given_rows import Sources, given_rows
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval.image_inputs import squares
from contrastive_cxr.retrieval.spread_model import CachePiece, FilePiece, Piece, SentPiece
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

    def piece(self, first: int, end: int) -> Piece:
        """Images first..end-1 for a worker of a cluster, which reads them itself."""


@dataclass(frozen=True)
class Files:
    """Image files, decoded when they are asked for. The names are text: a `Path` takes three times as much memory.

    Attributes
    ----------
    known : DataFrame
        What is known of each file, a row a file: `label`, `patient`, `split`, or none of them.
    """

    files: list[str]
    settings: schema.Data
    known: pd.DataFrame = field(default_factory=pd.DataFrame)
    squeezed: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def pixels(self, first: int, end: int) -> Tensor:
        """As in `Pictures`; unreadable files are named in one `RequestError`."""
        return squares(self.files[first:end], self.settings, first, self.squeezed)

    def rows(self, first: int, end: int) -> pd.DataFrame:
        """`file`, and what is known of the files."""
        files = pd.DataFrame({"file": [shown(name) for name in self.files[first:end]]})
        return files.assign(**{str(name): self.known[name].to_numpy()[first:end] for name in self.known})

    def piece(self, first: int, end: int) -> Piece:
        """As in `Pictures`; relative names begin in the folder of this process."""
        files = [name if is_url(name) else os.path.abspath(name) for name in self.files[first:end]]
        return FilePiece(files, self.settings, first)


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

    def piece(self, first: int, end: int) -> Piece:
        """As in `Pictures`; of the cache's file, which the worker has to see. Squares of shards go with the piece."""
        images = self.data.images
        if not isinstance(images.store, np.memmap):
            return SentPiece(images[self.chosen[first:end]])
        return CachePiece(str(images.store.filename), images.store.shape, images.slots[self.chosen[first:end]])


def pictures_of(
    run: Path, source: Sources, settings: schema.Data, frames: Frames = None, axis: schema.AxisName = "axial"
) -> Pictures:
    """The images of a source.

    Parameters
    ----------
    run : Path
        A run, or a phase's folder in it.
    source : path, or sequence of these
        `train`, `val`, `test` or `all` alone: images of the run. Else images, or folders, archives, URLs or tables of
        them, with the labels, patients and splits that are known; `./test` is a folder.
    settings : schema.Data
        How the model wants files decoded.
    frames, axis : as in `given.images_of`

    Raises
    ------
    RequestError
        No such part, run, file or folder; images that changed since the run.
    """
    alone = source if isinstance(source, str | Path) or len(source) != 1 else source[0]
    if alone not in PARTS:
        rows = given_rows(source, frames, axis)
        files = Files(rows["file"].tolist(), settings, rows.drop(columns="file"))
        del rows
        hand_back_freed_memory()
        return files
    home = next((place for place in (run, run.parent) if (place / "recipe.yaml").is_file()), run)
    scored = None if alone == "all" else str(alone)
    data = recorded.reopen(home, recorded.recipe_of(home), scored)
    chosen = np.flatnonzero(data.split != "unused") if scored is None else data.rows(scored)
    if not len(chosen):
        raise RequestError(f"{home}: no image is in its part '{alone}'; name another part, or a folder of images")
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
