"""The embedding model for users of the package: images in, vectors of unit length and class probabilities out."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pydantic import ValidationError
from torch import Tensor

from contrastive_cxr import augment, cores, terminal
from contrastive_cxr.data.files.addresses import of_path
from contrastive_cxr.errors import RequestError
from contrastive_cxr.models import Network, links, weights
from contrastive_cxr.recipe.schema import InferencePrecision
from contrastive_cxr.retrieval import inference_precision
from contrastive_cxr.retrieval.embedding import decode_settings, run_views
from contrastive_cxr.retrieval.hub import HubModel
from contrastive_cxr.retrieval.image_inputs import Inputs, ahead, items, squares
from contrastive_cxr.run_layout import CLASSIFIERS, model_folder

Vectors = npt.NDArray[np.float32]


def device_of(word: str) -> torch.device:
    """The device that a word names: `auto` is a GPU where there is one, else the CPU; other words are torch's.

    Raises
    ------
    RequestError
        Torch knows no such device, or finds none here.
    """
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(word)
    except RuntimeError as error:
        raise RequestError(f"device {word!r}: torch knows no such device; give auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"device {word!r}: torch finds no CUDA device here; give cpu or auto")
    return device


class EmbeddingModel(HubModel):
    """A trained network that embeds pictures of any kind as in training.

    The same images in batches of the same size give the same bits; in batches of another size the last bits may differ,
    as the kernels do.

    Parameters
    ----------
    network : Network
        The network; put into evaluation mode and moved to `device`.
    card : dict
        Its record, as `models.weights.load` gives it.
    device : str
        Torch's name of the device, or `auto`: a GPU where there is one.
    folder : Path, optional
        Where it was read from, for its repr.
    classifier : Path, optional
        Folder of the classifier that predicts, for a network that has none; it is read when it is first used.
    precision : str
        `32-true`, `bf16-mixed`, or `auto`: measured at the first call with many pictures (`inference_precision`).

    Attributes
    ----------
    squeezed : {address: grey levels}
        Files read so far that keep fewer than 64 grey levels as this model reads them, and tell more apart.
    settled : inference_precision.Settled or None
        The precision of the last call, and how it was chosen.

    Examples
    --------
    >>> model = EmbeddingModel.load("runs/xray")  # doctest: +SKIP
    >>> model.embed(["one.png", "two.png"]).shape  # doctest: +SKIP
    (2, 512)
    >>> model.predict_proba(["one.png", "two.png"], as_frame=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        network: Network,
        card: dict[str, Any],
        device: str = "cpu",
        *,
        folder: Path | None = None,
        classifier: Path | None = None,
        precision: InferencePrecision = "32-true",
    ) -> None:
        inference_precision.check(precision)
        self.device = device_of(device)
        self.network = network.eval().to(self.device)
        self.card = card
        self.folder = folder
        self._classifier_folder = None if card["classes"] else classifier
        self.settings = decode_settings(card)
        self.squeezed: dict[str, int] = {}
        self.precision = precision
        self.settled: inference_precision.Settled | None = None

    def __repr__(self) -> str:
        words = [
            f"{self.card['backbone']} on {self.network.spec.image_size} x {self.network.spec.image_size} pixels",
            f"embedding of {self.size}",
            f"classes {', '.join(self.classes)}" if self.classes else "no classifier",
            str(self.device),
        ]
        place = "" if self.folder is None else f"{self.folder}: "
        if self._classifier_folder is not None:
            words[2] += f" (by {self._classifier_folder.name})"
        return f"<EmbeddingModel {place}{'; '.join(words)}>"

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", precision: InferencePrecision = "32-true") -> EmbeddingModel:
        """Read a run or a phase folder; no pickle is opened.

        A run embeds by its embed phase (else finetune, else pretrain) and predicts by its classifier (finetune, else
        pretrain). A phase folder does both by its own network.

        Raises
        ------
        RequestError
            Where the folder holds no finished model, or a broken one; or the device is none.
        """
        found = weights.find(folder, ("embed", "finetune", "pretrain"))
        network, card = weights.load(found)
        head = None if found == Path(folder) else model_folder(Path(folder), CLASSIFIERS)
        try:
            return cls(network, card, device, folder=found, classifier=head, precision=precision)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RequestError(f"{found / 'model.json'} does not say how to decode: {where}: {first['msg']}") from error

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities; empty where there is no classifier."""
        if "classifier" in vars(self):
            return tuple(self.classifier.card["classes"])
        if self._classifier_folder is not None:
            return tuple(weights.record(self._classifier_folder).classes)
        return tuple(self.card["classes"])

    @property
    def size(self) -> int:
        """Dimensions of the embedding."""
        return self.network.embedding_size

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: the model's identity in a gallery."""
        return str(self.card["sha256"])

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How it reads an image: decode settings, input size, mean and deviation; as plain as JSON."""
        return {**self.card["decode"], **{name: self.card[name] for name in ("image_size", "mean", "std")}}

    def embed(self, inputs: Inputs, batch_size: int = 64) -> Vectors:
        """Embed pictures.

        Parameters
        ----------
        inputs : path, PIL image, array, tensor, or a sequence of these
            Arrays and tensors: grey [H, W], [N, H, W] or [N, 1, H, W], uint8, uint16, or floats in 0..1.
        batch_size : int
            Pictures a step.

        Returns
        -------
        float32 [N, D]
            Unit length.

        Raises
        ------
        RequestError
            Where a picture cannot be read (each of the batch is named) or an array is not one of images.
        """
        return self._batches(inputs, batch_size, self.size, self.network.embed)

    def features(self, inputs: Inputs, batch_size: int = 64) -> Vectors:
        """The backbone's features float32 [N, C], before the projection; inputs and errors as in `embed`."""
        return self._batches(inputs, batch_size, self.network.width, self.network.features)

    def predict(self, inputs: Inputs, batch_size: int = 64, tta: str = "none") -> Vectors:
        """Class probabilities float32 [N, classes], in the order of `classes`; inputs and errors as in `embed`.

        A classifier is needed: the network's own, or the one of the run that was loaded. Logits become probabilities as
        the loss of the training says (`card["link"]`, `models.links`); with a set of test-time augmentation
        (`augment.TTA_SETS`) they are the mean over its views.
        """
        head, link = self.classifier, self.classifier.card.get("link", "softmax")
        return head._batches(
            inputs, batch_size, len(head.classes), lambda x: links.probabilities(head.network.logits(x), link), tta
        )

    @cached_property
    def classifier(self) -> EmbeddingModel:
        """The model that predicts: this one, or the classifier of the run.

        Raises
        ------
        RequestError
            There is none, or it is broken.
        """
        if self._classifier_folder is None:
            if not self.card["classes"]:
                raise RequestError(
                    "this model has no classifier; load a run with a finished finetune or pretrain phase, or the "
                    "folder of such a phase, to predict"
                )
            return self
        head = EmbeddingModel.load(self._classifier_folder, str(self.device), self.precision)
        head.squeezed = self.squeezed
        return head

    def predict_by(self, head: EmbeddingModel) -> None:
        """Let another model predict, as the phases of a run share the work."""
        self.classifier = head

    @overload
    def predict_proba(self, inputs: Inputs, batch_size: int = ..., as_frame: Literal[False] = ...) -> Vectors: ...
    @overload
    def predict_proba(self, inputs: Inputs, batch_size: int = ..., *, as_frame: Literal[True]) -> pd.DataFrame: ...
    def predict_proba(self, inputs: Inputs, batch_size: int = 64, as_frame: bool = False) -> Vectors | pd.DataFrame:
        """Class probabilities as `ccxr predict` gives them: with the test-time augmentation of the run.

        Returns
        -------
        float32 [N, classes]
            In the order of `classes`; with `as_frame` a DataFrame of it, a column a class, a row an image. Its index
            holds the files' names, or 0 to N - 1 where the inputs are no files.
        """
        found = self.predict(inputs, batch_size, self.classifier.card.get("tta") or "none")
        return _frame(found, inputs, list(self.classes)) if as_frame else found

    def fit(self, inputs: Any = None, labels: Any = None) -> EmbeddingModel:
        """Nothing is learnt: the model itself, so that it is a step of a scikit-learn pipeline."""
        return self

    @overload
    def transform(self, inputs: Inputs, batch_size: int = ..., as_frame: Literal[False] = ...) -> Vectors: ...
    @overload
    def transform(self, inputs: Inputs, batch_size: int = ..., *, as_frame: Literal[True]) -> pd.DataFrame: ...
    def transform(self, inputs: Inputs, batch_size: int = 64, as_frame: bool = False) -> Vectors | pd.DataFrame:
        """The vectors of `embed`, under scikit-learn's name.

        Returns
        -------
        float32 [N, D]
            With `as_frame` a DataFrame with columns `embedding0`, `embedding1`, ...; index as in `predict_proba`.
        """
        found = self.embed(inputs, batch_size)
        return _frame(found, inputs, [f"embedding{number}" for number in range(self.size)]) if as_frame else found

    def settle(self, images: Tensor, count: int) -> None:
        """Choose the precision for many pictures, of which the first are given.

        Parameters
        ----------
        images : uint8 [B, 1, S, S], decoded
        count : passes through the network that follow; each view of test-time augmentation is one
        """
        sample = images[: inference_precision.SAMPLE]
        weights_of = self.card.get("sha256", f"network {id(self.network)}")
        self.settled = inference_precision.settle(
            self.network, self.precision, lambda: sample.to(self.device), count, weights_of
        )

    def _batches(
        self, inputs: Inputs, batch_size: int, width: int, function: Callable[[Tensor], Tensor], tta: str = "none"
    ) -> Vectors:
        """Run batch by batch, the next ones decoded meanwhile; memory does not grow with the number of pictures."""
        if batch_size < 1:
            raise RequestError(f"batch_size={batch_size}; give at least 1")
        found = items(inputs)
        result = np.empty((len(found), width), np.float32)

        def read(first: int, end: int) -> Tensor:
            return squares(found[first:end], self.settings, first, self.squeezed)

        for first, images in ahead(read, 0, len(found), batch_size, cores.threads()):
            if not first:
                self.settle(images, len(found) * len(augment.TTA_SETS[tta]))
            views = augment.views(images.to(self.device), self.network.spec.image_size, tta)
            result[first : first + batch_size] = run_views(self.network, views, function).cpu().numpy()
            terminal.share(first + batch_size, len(found))
        return result


def _frame(values: Vectors, inputs: Inputs, columns: list[str]) -> pd.DataFrame:
    """A row a picture; the index holds the files' names where all pictures are files."""
    found = items(inputs)
    files = [of_path(Path(one)) for one in found if isinstance(one, str | os.PathLike)]
    index = pd.Index(files, name="file") if len(files) == len(found) else None
    return pd.DataFrame(values, columns=columns, index=index)
