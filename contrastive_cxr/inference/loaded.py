"""The models of a run and a gallery, loaded once and held: what a server answers from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr.data.decoding.decode import LARGEST, decode, fit_square
from contrastive_cxr.data.files.store_urls import Place, StoreUrl, place_of
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import pooled
from contrastive_cxr.inference.gallery_rows import part_of, recorded_vectors
from contrastive_cxr.inference.predict import Fitted, check_device, classifiers_of, fitted
from contrastive_cxr.inference.search import model_of
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, Gallery, Searched, open_gallery
from contrastive_cxr.retrieval.opened import is_gallery
from contrastive_cxr.run_layout import PHASES

Part = Literal["predict", "embed"]
"""What an image is read for: the classifiers and the embedding may read files in two ways."""
RECORD = "gallery.json"


class Picture(NamedTuple):
    """One image, decoded.

    Attributes
    ----------
    name : str
        As the sender called it; only repeated, never opened.
    squares : {reading: uint8 [S, S]}
        By the number of the decode settings in `LoadedModels.readings`.
    digest : str
        SHA-256 of the file, or of the file and the frame.
    squeezed : int
        Grey levels that are left, where too few are (`Facts.squeezed`); else 0.
    """

    name: str
    squares: dict[int, NDArray[np.uint8]]
    digest: str
    squeezed: int


@dataclass(frozen=True)
class LoadedModels:
    """What is held in memory.

    Attributes
    ----------
    embedder : the model that embeds; None where a run over seeds or folds has no gallery
    classifiers : the models whose mean probabilities are the prediction; empty where there is no classifier
    fitted : what the run's report fitted on its validation part
    gallery : None: there are no cases to search in
    readings : the different decode settings of all models
    """

    embedder: EmbeddingModel | None
    classifiers: tuple[EmbeddingModel, ...]
    fitted: Fitted
    gallery: Searched | None
    readings: tuple[schema.Data, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty where there is no classifier."""
        return self.classifiers[0].classes if self.classifiers else ()

    def models(self, part: Part) -> tuple[EmbeddingModel, ...]:
        """The models that answer a part."""
        if part == "predict":
            return self.classifiers
        return () if self.embedder is None else (self.embedder,)

    def reading(self, model: EmbeddingModel) -> int:
        """The number of a model's decode settings."""
        return self.readings.index(model.settings)

    def read(
        self, content: bytes | str, name: str, parts: tuple[Part, ...], frame: int | None = None, largest: int = LARGEST
    ) -> Picture:
        """Decode a file (its content, or its address) as the models of these parts were trained; any thread may do so.

        Raises
        ------
        DecodeError
            It is no readable image.
        """
        wanted = sorted({self.reading(model) for part in parts for model in self.models(part)})
        squares, digest, squeezed = {}, "", 0
        for number in wanted:
            settings = self.readings[number]
            grey, facts = decode(content, settings, frame=frame, largest=largest, side=settings.cache_size)
            squares[number] = fit_square(grey, settings.cache_size, settings.resize)[0]
            digest, squeezed = facts.digest, facts.squeezed
        return Picture(name, squares, digest, squeezed)

    def stacked(self, pictures: list[Picture], model: EmbeddingModel) -> Tensor:
        """Pictures as a model takes them: uint8 [N, 1, S, S] on its device."""
        number = self.reading(model)
        return torch.from_numpy(np.stack([one.squares[number] for one in pictures])[:, None]).to(model.device)


def load(
    place: str | Place, *, gallery: str | Place | None = None, run: Path | None = None, device: str = "cpu",
    verify: bool = False, trust_index: bool = False,
) -> LoadedModels:  # fmt: skip
    """Load a run, or a gallery with the run that made it.

    Parameters
    ----------
    place : str, Path or StoreUrl
        A run, a phase's folder, a run over seeds or folds; or a gallery.
    gallery : str, Path or StoreUrl, optional
        A gallery beside a run. None: the run's training images, where its evaluation left their vectors.
    run : Path, optional
        The run of a gallery, where it is not the one that made it, or has moved.
    device : str
        auto (a GPU where there is one), cpu or cuda.
    verify, trust_index : as in `Gallery.load`

    Raises
    ------
    RequestError
        No run, no model, a damaged gallery, or a gallery of another model than the run's.
    """
    place, gallery = place_of(place), None if gallery is None else place_of(gallery)
    faults = faults_of(lambda: check_device(device))
    if isinstance(place, StoreUrl) or is_gallery(place):
        faults += [] if gallery is None else [f"--gallery {gallery}: {place} is a gallery itself; name one of the two"]
        gallery = place
    elif run is not None:
        faults.append(f"--run {run}: is for a gallery, and {place} is none; name the run alone")
    else:
        run = place
    if faults:
        raise RequestError(*faults)
    cases = None if gallery is None else open_gallery(gallery, verify=verify, trust_index=trust_index)
    embedder = _embedder(cases, gallery, run, device)
    home = run if run is not None else _run_of(embedder)
    folders = _classifier_folders(home, required=embedder is None)
    own = {model.folder: model for model in [embedder] if model is not None}
    found = [own[each] if each in own else EmbeddingModel.load(each, device) for each in folders]
    classifiers = tuple(model for model in found if model.card["classes"])  # a phase's folder may have none
    told = Fitted()
    if home is not None and classifiers:
        scored = home if pooled.is_pool(home) else folders[0].parent
        told = fitted(scored, folders[0].name, classifiers[0].classes)
    if cases is None and embedder is not None and home is not None:
        cases = _training_images(home, embedder)
    return LoadedModels(embedder, classifiers, told, cases, _readings([embedder, *classifiers]))


def _embedder(cases: Searched | None, folder: Place | None, run: Path | None, device: str) -> EmbeddingModel | None:
    """The model that embeds: of a gallery the one that made it, or the run's if it is the same."""
    pool = run is not None and pooled.is_pool(run)
    if cases is not None and folder is not None:
        return model_of(cases, folder, None if pool else run, device)
    return None if pool or run is None else EmbeddingModel.load(run, device)


def _run_of(embedder: EmbeddingModel | None) -> Path | None:
    """The run that a phase's folder lies in; the folder itself where it lies in none."""
    if embedder is None or embedder.folder is None:
        return None
    inside = embedder.folder.name in PHASES and (embedder.folder.parent / "recipe.yaml").is_file()
    return embedder.folder.parent if inside else embedder.folder


def _classifier_folders(home: Path | None, required: bool) -> list[Path]:
    try:
        return [] if home is None else classifiers_of(home)
    except RequestError:
        if required:
            raise
        return []


def _training_images(home: Path, embedder: EmbeddingModel) -> Gallery | None:
    """The run's training images as a gallery; None where its evaluation left no vectors of this model."""
    if embedder.folder is None:
        return None
    try:
        rows = part_of(home, "train")
        vectors = recorded_vectors(embedder.folder, embedder, rows)
    except RequestError:
        return None
    if vectors is None:
        return None
    return Gallery.build(vectors, rows, embedder.digest, kind="exact", preprocessing=embedder.preprocessing)


def _readings(models: list[EmbeddingModel | None]) -> tuple[schema.Data, ...]:
    found: list[schema.Data] = []
    for model in models:
        if model is not None and model.settings not in found:
            found.append(model.settings)
    return tuple(found)
