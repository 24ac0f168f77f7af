"""A published encoder without a training run: found by name, file or hub, frozen, and used to make a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr import locks, models
from contrastive_cxr.data.files.addresses import absolute
from contrastive_cxr.data.files.store_urls import StoreUrl
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.files import tidy
from contrastive_cxr.inference import linear_probe
from contrastive_cxr.inference.gallery import ENCODER, check_new, goal
from contrastive_cxr.inference.gallery_rows import rows_of
from contrastive_cxr.inference.given_images import Frames, warn_of_squeezed
from contrastive_cxr.inference.predict import check_device
from contrastive_cxr.models import weights
from contrastive_cxr.models.backbones import catalogue
from contrastive_cxr.models.checkpoints import matching, nearest_backbone, unwrap
from contrastive_cxr.models.pretrained import locations
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, Gallery, Searched, StoreGallery
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.stores.filling import fill
from contrastive_cxr.retrieval.stores.store import Store
from contrastive_cxr.run import folder as folders

PROBE = "probe.json"


@dataclass(frozen=True)
class Indexed:
    """What `index_encoder` made: the gallery, what was loaded in sentences, and the scores of labels (or none)."""

    gallery: Searched
    lines: tuple[str, ...]
    probe: dict[str, Any]


def index_encoder(
    word: str,
    sources: Sequence[str],
    out: Path | None,
    *,
    store: str | StoreUrl = "folder",
    kind: str = "auto",
    device: str = "cpu",
    image_size: int | None = None,
    frames: Frames = None,
    axis: schema.AxisName = "axial",
) -> Indexed:
    """Embed images with a frozen published encoder and write the gallery, the encoder beside it, and how good it is.

    Parameters
    ----------
    word : str
        A backbone's name (its published weights), a file or folder of weights, or `hf-hub:ORG/NAME`.
    sources : sequence of str
        Images, or folders, archives or URLs of them; one with a layout that is known gives labels, patients and splits.
    out : Path
        New folder: the gallery, `encoder/` (a model folder like a phase's), and `probe.json` where there are labels.
    store, kind, device
        As in `inference.gallery.index`; PostgreSQL has no folder for the encoder and is refused.
    image_size : int, optional
        Side of the input, pixels; none: the one that the weights were made for.
    frames, axis : as in `given.images_of`

    Raises
    ------
    RequestError
        With every fault: no such encoder, image or folder, weights that fit no backbone, `out` is there already.
    """
    if out is None:
        raise RequestError(
            "--out: name a new folder, which keeps the encoder too; for PostgreSQL make a folder first, then copy it: "
            "ccxr index --from-gallery FOLDER --store postgresql://..."
        )
    goals: list[Store | None] = []
    faults = [*faults_of(lambda: goals.append(goal(store, out, kind)[1])), *faults_of(lambda: check_device(device))]
    found: list[pd.DataFrame] = []
    made: list[tuple[models.Network, tuple[str, ...]]] = []
    for source in sources:
        faults += faults_of(lambda source=source: found.append(rows_of(out, absolute(source), frames, axis)))  # type: ignore[misc]
    faults += faults_of(lambda: made.append(network_of(word, image_size)))
    raise_faults(faults)
    (network, lines), rows = made[0], pd.concat(found, ignore_index=True)
    rows = rows.fillna("") if len(found) > 1 else rows
    place = out / ENCODER
    with locks.held(out / locks.NAME, f"the gallery '{out}'"):
        tidy(out, held=True)
        check_new(out, unfinished=goals[0] is not None)
        weights.save(network, place, card_of(network, word))
        model = EmbeddingModel.load(place, device)
        vectors = model.embed([Path(root) / path for root, path in zip(rows["root"], rows["path"], strict=True)])
        warn_of_squeezed(model.squeezed, len(rows))
        about = About(model.digest, model.preprocessing, str(place.resolve()), kind)  # type: ignore[arg-type]
        facts = linear_probe.probe(vectors, rows)
        gallery = _kept(about, vectors, rows, out, goals[0])
        folders.write_json(out / PROBE, {"encoder": word, "loaded": list(lines), **facts})
    return Indexed(gallery, lines, facts)


def _kept(about: About, vectors: NDArray[np.float32], rows: pd.DataFrame, out: Path, store: Store | None) -> Searched:
    """Write the gallery to its folder or its store."""
    if store is not None:
        record = fill(store, about, vectors.shape[1], rows, lambda first, end: vectors[first:end])
        return StoreGallery(store, record)
    gallery = Gallery.build(
        vectors, rows, about.model, kind=about.kind, preprocessing=about.preprocessing, made_by=about.made_by
    )
    gallery.save(out)
    return gallery


def network_of(word: str, image_size: int | None = None) -> tuple[models.Network, tuple[str, ...]]:
    """The frozen network that a word names, with the inputs that its weights were made for, and what was loaded."""
    try:
        if word.startswith(locations.HUB) or Path(word).expanduser().exists():
            name, size, statistics = _described(word, image_size)
            start = word
        else:
            catalogue.check(word)
            name, size, statistics, start = word, image_size, None, "imagenet"
        side = size or catalogue.skeleton(name).side
        raise_faults(catalogue.size_faults(name, side))
        mean, std = statistics or catalogue.grey_statistics(name)
        model = schema.Model(backbone=name, image_size=side)
        network = models.build(model, mean=mean, std=std, seed=0)
        loaded = weights.start(network, start)
    except RequestError as error:
        raise RequestError(*(_as_asked(fault, word) for fault in error.faults)) from error
    if loaded.match is not None:
        loaded = replace(loaded, digest=weights.digest_of(word))
    return network.eval(), tuple(_as_asked(line, word) for line in loaded.lines())


def _described(word: str, image_size: int | None) -> tuple[str, int | None, tuple[float, float] | None]:
    """Backbone, input side and statistics of a file: as its folder says, else the backbone that its tensors fit."""
    if weights.is_own(word):
        raise RequestError(f"--encoder {word} is a run of this program; give it as RUN: ccxr index {word} SOURCE")
    place = locations.find(word, "--encoder")
    content = unwrap.read(place.file, "--encoder")
    size = image_size or place.image_size
    found = (
        matching.match(content, place.backbone, size)
        if place.backbone
        else nearest_backbone.nearest(content, image_size=size)
    )
    if found is None or not found.fits:
        raise RequestError(
            f"--encoder {word}: its tensors fit none of the backbones that have such names of layers; use it in a "
            "recipe, with model.backbone=NAME, whose error says what differs"
        )
    return found.backbone, size, place.statistics


def _as_asked(sentence: str, word: str) -> str:
    """A sentence about `model.weights` as one about `--encoder`."""
    return sentence.replace("model.weights=imagenet", f"--encoder {word}").replace("model.weights", "--encoder")


def card_of(network: models.Network, word: str) -> dict[str, Any]:
    """Fields of `model.json` for a frozen encoder, besides its shape."""
    side = network.spec.image_size
    decode = schema.Data(cache_size=max(256, side)).model_dump(mode="json")
    names = ("cache_size", "resize", "intensity", "border_crop", "denoise", "equalise")
    return {
        "phase": "encoder",
        "task": "none",
        "experiment": word,
        "classes": [],
        "channels_last": False,
        "decode": {name: decode[name] for name in names},
    }
