"""Vectors of the training images that a run has already stored: an evaluation encodes them again only if it must."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contrastive_cxr.data.dataset import Dataset
from contrastive_cxr.engine import Fabric
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation.predictions import Outputs, outputs
from contrastive_cxr.phases.context import decode_settings
from contrastive_cxr.recipe.schema import Recipe
from contrastive_cxr.retrieval.embedding import decode_settings as recorded_settings
from contrastive_cxr.run import folder as folders

MADE = "made.json"
Rows = NDArray[np.int64]


def load_or_embed_train(
    recipe: Recipe, data: Dataset, fabric: Fabric, phase: Path, query: Outputs, rows: Rows
) -> Outputs:
    """Vectors of `rows` by the model in `phase`: read from `arrays/` if they fit model and images, else computed.

    Parameters
    ----------
    query : Outputs
        The same model's predictions on the scored rows; its record holds the digest of the weights.

    Returns
    -------
    Outputs
        Without probabilities if the vectors are read: neighbours need only vectors.
    """
    same_decode = recorded_settings(query.card) == recorded_settings({"decode": decode_settings(recipe)})
    vectors = read(phase / "arrays", query.card["sha256"], data, rows) if same_decode else None
    if vectors is None:
        return outputs(recipe, data, fabric, phase, rows)
    return Outputs(rows, vectors, None, card=query.card)


def record(arrays: Path, made: Outputs, data: Dataset) -> None:
    """Write `made.json` beside `train_vectors.npy`: which model made the vectors, and of which images.

    Parameters
    ----------
    arrays : Path
        A phase's `arrays/`, in which the vectors are written already.
    made : Outputs
        The predictions for the training rows of `data`.
    """
    of = {"train_model": made.card["sha256"], "train_images": images_digest(data, made.rows)}
    folders.write_json(arrays / MADE, of)


def read(arrays: Path, model: str, data: Dataset, rows: Rows) -> NDArray[np.float32] | None:
    """Read `train_vectors.npy`, float32 [n, D]; None if it is missing, or made by another model or of other images.

    Parameters
    ----------
    model : str
        Digest of the weights.
    rows : int64 [n]
        Rows of `data`: the vectors must be those of these rows, in this order.
    """
    try:
        made = json.loads((arrays / MADE).read_text(encoding="utf-8"))
        vectors = folders.read_array(arrays / "train_vectors.npy")
    except (OSError, ValueError, RequestError):
        return None
    if made != {"train_model": model, "train_images": images_digest(data, rows)}:
        return None
    sound = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == len(rows)
    return vectors if sound and bool(np.isfinite(vectors).all()) else None


def images_digest(data: Dataset, rows: Rows) -> str:
    """SHA-256 of the images' content digests, in the order of `rows`."""
    return hashlib.sha256("\n".join(data.facts["digest"].iloc[rows]).encode()).hexdigest()
