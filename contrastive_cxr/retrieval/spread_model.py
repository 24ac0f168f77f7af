"""A model on the workers of a cluster: images are decoded by calls, and encoded by actors that loaded it once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from contrastive_cxr import augment
from contrastive_cxr.data.cache_files import mapped
from contrastive_cxr.distributed import Cluster
from contrastive_cxr.distributed.stream import Work
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.models import links
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval.embedding import embed_cached, run_views
from contrastive_cxr.retrieval.image_inputs import squares
from contrastive_cxr.retrieval.model import EmbeddingModel
from contrastive_cxr.run_layout import MODEL, WEIGHTS

Vectors = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class FilePiece:
    """Some image files; a worker has to see them under the same names, or they are URLs."""

    files: list[str]
    settings: schema.Data
    first: int = 0

    def __str__(self) -> str:
        return f"images {self.first} to {self.first + len(self.files) - 1} ({self.files[0]} to {self.files[-1]})"

    def pixels(self, squeezed: dict[str, int]) -> Bytes:
        """Decoded: uint8 [n, 1, S, S]; `squeezed` as of `image_inputs.square`."""
        return np.asarray(squares(self.files, self.settings, self.first, squeezed).numpy())


@dataclass(frozen=True)
class CachePiece:
    """Some squares of a cache on a disk that the workers see too.

    Attributes
    ----------
    file : str
        The raw file of all squares.
    shape : tuple of int
        M, 1, S, S.
    slots : int64 [n]
    """

    file: str
    shape: tuple[int, ...]
    slots: NDArray[np.int64]

    def __str__(self) -> str:
        return f"{len(self.slots)} squares of {self.file}"

    def pixels(self, squeezed: dict[str, int]) -> Bytes:
        """uint8 [n, 1, S, S]."""
        return np.asarray(mapped(self.file, self.shape))[self.slots]


@dataclass(frozen=True)
class SentPiece:
    """Some squares that are sent with the job, as those of image shards are; uint8 [n, 1, S, S]."""

    squares: Bytes

    def __str__(self) -> str:
        return f"{len(self.squares)} squares of image shards"

    def pixels(self, squeezed: dict[str, int]) -> Bytes:
        """uint8 [n, 1, S, S]."""
        return self.squares


Piece = FilePiece | CachePiece | SentPiece


@dataclass(frozen=True)
class Job:
    """A batch of images, and its number among the batches."""

    number: int
    piece: Piece

    def __str__(self) -> str:
        return str(self.piece)


@dataclass(frozen=True)
class Done:
    """What became of a batch.

    Attributes
    ----------
    number : int
    words : str
        Which images they are.
    values : uint8 [n, 1, S, S] once decoded, float32 [n, D] once encoded; None with faults
    faults : tuple of str
    squeezed : {file: grey levels}, as of `image_inputs.square`
    """

    number: int
    words: str
    values: NDArray[Any] | None
    faults: tuple[str, ...] = ()
    squeezed: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.words


def decoded(job: Job) -> Done:
    """The first step: pixels, or what is wrong with the files."""
    squeezed: dict[str, int] = {}
    try:
        return Done(job.number, str(job), job.piece.pixels(squeezed), (), squeezed)
    except RequestError as error:
        return Done(job.number, str(job), None, error.faults)


@dataclass(frozen=True)
class Sent:
    """A phase folder's model as its files, so that a worker need not see the folder, and how it computes."""

    card: bytes
    weights: bytes
    precision: schema.InferencePrecision

    @classmethod
    def of(cls, folder: Path, precision: schema.InferencePrecision) -> Sent:
        """Read the files of a phase folder."""
        return cls((folder / MODEL).read_bytes(), (folder / WEIGHTS).read_bytes(), precision)

    def loaded(self, device: str) -> EmbeddingModel:
        """The model; no pickle is opened, and the digest is checked as always."""
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / MODEL).write_bytes(self.card)
            (Path(place) / WEIGHTS).write_bytes(self.weights)
            model = EmbeddingModel.load(place, device, self.precision)
        model.settle(torch.zeros((1, 1, 1, 1), dtype=torch.uint8), 1)
        return model


class Encoder:
    """The second step: vectors of one model."""

    def __init__(self, sent: Sent, device: str) -> None:
        self._model = sent.loaded(device)

    def __call__(self, batch: Done) -> Done:
        """float32 [n, D], unit length, as `ccxr encode` computes them."""
        if batch.values is None:
            return batch
        images = torch.from_numpy(batch.values.copy()).to(self._model.device)
        found = embed_cached(self._model.network, images).cpu().numpy()
        return replace(batch, values=found)


class Predictor:
    """The second step: the mean probabilities of one or several classifiers, all of them in memory."""

    def __init__(self, sent: Sequence[Sent], device: str) -> None:
        self._models = [each.loaded(device) for each in sent]

    def __call__(self, batch: Done) -> Done:
        """float32 [n, classes], as `ccxr predict` computes them."""
        if batch.values is None:
            return batch
        images = torch.from_numpy(batch.values.copy())
        told = [_probabilities(model, images) for model in self._models]
        return replace(batch, values=np.mean(np.stack(told), axis=0))


def _probabilities(model: EmbeddingModel, images: torch.Tensor) -> Vectors:
    network, link = model.network, model.card.get("link", "softmax")
    views = augment.views(images.to(model.device), network.spec.image_size, model.card["tta"])
    return np.asarray(run_views(network, views, lambda x: links.probabilities(network.logits(x), link)).cpu().numpy())


def device_of(cluster: Cluster, word: str) -> str:
    """`cpu` or `cuda` for the actors of a cluster.

    Raises
    ------
    RequestError
        The word is none of auto, cpu and cuda, or the cluster has no GPU and one is wanted.
    """
    if word not in ("auto", "cpu", "cuda"):
        raise RequestError(f"--device {word}: is none of auto, cpu and cuda")
    if word == "cuda" and not cluster.gpus:
        raise RequestError("--device cuda: the Ray cluster has no GPU; use cpu or auto")
    return "cuda" if cluster.gpus and word != "cpu" else "cpu"


def finished(
    cluster: Cluster, jobs: Sequence[Job], what: type[Encoder] | type[Predictor], sent: Any, device: str
) -> Iterator[Done]:
    """The batches as they come out of the actors, in any order.

    Raises
    ------
    RequestError
        Unreadable images, each of their batch named.
    CcxrError
        Ray gave up.
    """
    work = Work(decoded, what, (sent, device), gpu=device == "cuda")
    for batch in cluster.streamed(jobs, work):
        raise_faults(batch.faults)
        yield batch


def vectors(cluster: Cluster, model: EmbeddingModel, files: Sequence[str], batch_size: int = 64) -> Vectors:
    """Vectors float32 [N, D] of image files by a model that was loaded from a folder; nothing is written."""
    assert model.folder is not None, "the model has a folder"
    found = np.empty((len(files), model.size), np.float32)
    starts = range(0, len(files), batch_size)
    jobs = [Job(first, FilePiece(list(files[first : first + batch_size]), model.settings, first)) for first in starts]
    sent = cluster.share(Sent.of(model.folder, model.precision))
    for batch in finished(cluster, jobs, Encoder, sent, "cpu"):
        assert batch.values is not None, "a batch without faults has values"
        found[batch.number : batch.number + len(batch.values)] = batch.values
    return found
