"""Encode, predict and index by the workers of a Ray cluster: the same values as one process computes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr import augment, terminal
from contrastive_cxr.distributed import connected
from contrastive_cxr.errors import raise_faults
from contrastive_cxr.inference import shards, spread_parts
from contrastive_cxr.inference.encode import check_out, write_array
from contrastive_cxr.inference.given_images import Frames, warn_of_squeezed
from contrastive_cxr.inference.given_rows import Sources
from contrastive_cxr.inference.image_sources import Files, Pictures, pictures_of
from contrastive_cxr.models import weights
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe import schema
from contrastive_cxr.retrieval import EmbeddingModel, inference_precision
from contrastive_cxr.retrieval.spread_model import Encoder, Predictor, Sent, device_of
from contrastive_cxr.run import parquet
from contrastive_cxr.spread import Engine

log = logging.getLogger(__name__)
PART_IMAGES = 4096
"""As of `inference.encode`, so that either engine goes on with the other's folder."""
Vectors = NDArray[np.float32]


def encode(
    run: Path, source: Sources, out: Path, engine: Engine, *, device: str = "cpu", batch_size: int = 64,
    part_images: int = PART_IMAGES, frames: Frames = None, axis: schema.AxisName = "axial", overwrite: bool = False,
    precision: schema.InferencePrecision = "auto",
) -> Path:  # fmt: skip
    """As `inference.encode.encode`, by workers.

    An array (`X.npy`) is made of parts in `X.npy.parts`, which are then removed.

    Raises
    ------
    RequestError
        As there; or Ray is not installed, does not answer, or has workers of another version.
    CcxrError
        As there; or Ray gave up.
    """
    faults = [*faults_of(lambda: check_out(out, overwrite)), *faults_of(lambda: inference_precision.check(precision))]
    found: list[Path] = []
    faults += faults_of(lambda: found.append(weights.find(run, ("embed", "finetune", "pretrain"))))
    raise_faults([*faults, *faults_of(parquet.require)])
    array = out.suffix == ".npy"
    place = spread_parts.working(out) if array else out
    with connected(engine) as cluster:
        on = device_of(cluster, device)
        terminal.stage("encoding the images")
        earlier = None if overwrite else shards.read(place)
        model = EmbeddingModel.load(run, "cpu", precision if earlier is None else earlier.precision)
        pictures = pictures_of(run, source, model.settings, frames, axis)
        settled = _settled(model, pictures, on)
        record = shards.planned(pictures, model.digest, model.size, part_images, settled)
        if array:
            spread_parts.begin_working(place, record)
        else:
            shards.begin(place, record, overwrite)
        sent = cluster.share(_sent(model, settled))
        squeezed = spread_parts.fill(cluster, place, record, pictures, Encoder, sent, on, batch_size)
    if array:
        parts = shards.parts_of(record)
        write_array(
            out, pictures, lambda first, end: parquet.read_vectors(place / parts[first // part_images].file),
            record.dimensions, part_images,
        )  # fmt: skip
        spread_parts.drop_working(place)
    else:
        shards.finish(out, record)
    warn_of_squeezed(squeezed, len(pictures))
    return out


def vectors(
    engine: Engine, model: EmbeddingModel, files: Sequence[str], out: Path, device: str
) -> Callable[[int, int], Vectors]:
    """Vectors of image files, for a gallery in `out`; their parts stay in `out.parts`, and are read from there.

    Parameters
    ----------
    model : EmbeddingModel
        On the CPU; its precision is chosen here.

    Returns
    -------
    callable
        `some(first, end)`: float32 [end - first, D].
    """
    place = spread_parts.working(out)
    pictures = Files(list(files), model.settings)
    with connected(engine) as cluster:
        on = device_of(cluster, device)
        terminal.stage("encoding the images")
        settled = _settled(model, pictures, on)
        record = shards.planned(pictures, model.digest, model.size, PART_IMAGES, settled)
        spread_parts.begin_working(place, record)
        sent = cluster.share(_sent(model, settled))
        squeezed = spread_parts.fill(cluster, place, record, pictures, Encoder, sent, on, 64)
    model.squeezed |= squeezed
    return lambda first, end: spread_parts.some(place, record, first, end)


def probabilities(
    engine: Engine, models: Sequence[EmbeddingModel], files: Sequence[str], out: Path, device: str, batch_size: int
) -> tuple[Vectors, dict[str, int]]:
    """Mean probabilities float32 [N, classes] of classifiers for files; their parts stay in `out.parts` meanwhile.

    Returns
    -------
    float32 [N, classes], {file: grey levels of those that keep too few}
    """
    place = spread_parts.working(out)
    pictures = Files(list(files), models[0].settings)
    with connected(engine) as cluster:
        on = device_of(cluster, device)
        terminal.stage("predicting")
        settled = [_settled(model, pictures, on, len(augment.TTA_SETS[model.card["tta"]])) for model in models]
        record = shards.planned(pictures, _identity(models, settled), len(models[0].classes), PART_IMAGES, settled[0])
        spread_parts.begin_working(place, record)
        sent = cluster.share([_sent(model, each) for model, each in zip(models, settled, strict=True)])
        squeezed = spread_parts.fill(cluster, place, record, pictures, Predictor, sent, on, batch_size)
    return spread_parts.some(place, record, 0, record.images), squeezed


def _settled(model: EmbeddingModel, pictures: Pictures, device: str, views: int = 1) -> schema.InferencePrecision:
    """The precision of all workers: on CPUs measured here as one process does, else float32 or as chosen."""
    if device != "cpu":
        return "32-true" if model.precision == "auto" else model.precision
    model.settle(pictures.pixels(0, min(inference_precision.SAMPLE, len(pictures))), len(pictures) * views)
    assert model.settled is not None, "settle sets it"
    if model.settled.precision == "bf16-mixed" and model.settled.least_cosine is not None:
        log.warning("precision=auto: %s", model.settled.words())
    return model.settled.precision


def _sent(model: EmbeddingModel, precision: schema.InferencePrecision) -> Sent:
    assert model.folder is not None, "it was loaded from a folder"
    return Sent.of(model.folder, precision)


def _identity(models: Sequence[EmbeddingModel], settled: Sequence[str]) -> str:
    """SHA-256 of everything that the probabilities depend on, besides the images."""
    said = [
        (model.digest, model.card.get("link"), model.card["tta"], each)
        for model, each in zip(models, settled, strict=True)
    ]
    return hashlib.sha256(repr([*said, models[0].preprocessing]).encode()).hexdigest()
