"""Answers of loaded models for decoded images: vectors, probabilities with decisions, nearest cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.inference.loaded import LoadedModels, Picture
from contrastive_cxr.inference.predict import fitted_columns
from contrastive_cxr.inference.search import UNFAMILIAR
from contrastive_cxr.metrics import decisions
from contrastive_cxr.retrieval import Searched
from contrastive_cxr.retrieval.embedding import embed_cached, probabilities_cached
from contrastive_cxr.retrieval.result import agreement

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SearchOptions:
    """How cases are looked for.

    Attributes
    ----------
    k : neighbours an image
    where : only rows with one of these values in these columns
    patient : whose rows are left out; '' leaves out those of the image itself, where the gallery knows it
    unfamiliar : percent of the gallery's own cases that lie nearer, above which an image is unfamiliar
    """

    k: int = 5
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    patient: str = ""
    unfamiliar: float = UNFAMILIAR


def vectors(loaded: LoadedModels, pictures: list[Picture]) -> Floats:
    """Embeddings float32 [N, D] of unit length."""
    assert loaded.embedder is not None, "who asks has looked"
    return np.asarray(embed_cached(loaded.embedder.network, loaded.stacked(pictures, loaded.embedder)).cpu().numpy())


def probabilities(loaded: LoadedModels, pictures: list[Picture]) -> Floats:
    """Class probabilities float32 [N, C] as `ccxr predict` gives them: the mean over the classifiers."""
    told = [
        probabilities_cached(
            model.network, loaded.stacked(pictures, model), model.card.get("link", "softmax"), _tta(model.card)
        ).cpu()
        for model in loaded.classifiers
    ]
    mean: Floats = np.mean(np.stack([each.numpy() for each in told]), axis=0, dtype=np.float32)
    return mean


def predictions(loaded: LoadedModels, found: Floats) -> list[dict[str, Any]]:
    """An entry an image: decision, probabilities, and what was fitted on the validation part.

    Parameters
    ----------
    found : float32 [N, C]
        Of `probabilities`.

    Returns
    -------
    list of dict
        `decision`, `most_probable`, `probabilities`, `calibrated` (None: no temperature was fitted) and `thresholds`
        ({name: whether the positive class reaches it}), with the words of the table of `ccxr predict`.
    """
    classes = loaded.classes
    columns = fitted_columns(loaded.fitted, classes, found)
    entries = []
    for row, (likely, chosen) in enumerate(zip(found.argmax(axis=1), decided(loaded, found), strict=True)):
        fitted = {name: values[row] for name, values in columns.items()}
        calibrated = {name: float(fitted[f"calibrated_{name}"]) for name in classes if f"calibrated_{name}" in fitted}
        reached = {name: bool(value) for name, value in fitted.items() if not name.startswith("calibrated_")}
        entries.append(
            {
                "decision": classes[chosen],
                "most_probable": classes[likely],
                "probabilities": dict(zip(classes, map(float, found[row]), strict=True)),
                "calibrated": calibrated or None,
                "thresholds": reached,
            }
        )
    return entries


def decided(loaded: LoadedModels, found: Floats) -> NDArray[np.int64]:
    """Which class is decided, int64 [N]: the most probable one, or by the run's costs where it has some."""
    costs = loaded.classifiers[0].card["costs"]
    if not costs:
        return np.asarray(found.argmax(axis=1), dtype=np.int64)
    return np.asarray(decisions.decide(found, decisions.matrix(loaded.classes, costs)), dtype=np.int64)


def cases(gallery: Searched, pictures: list[Picture], found: Floats, options: SearchOptions) -> list[dict[str, Any]]:
    """The nearest cases of each image: an entry an image.

    A case whose file is the image itself (the same bytes) is left out, and so are the others of its patient.

    Parameters
    ----------
    found : float32 [N, D]
        Vectors of the pictures.

    Raises
    ------
    RequestError
        A filter names a column or value that no row has.
    """
    known = gallery.find("digest", [one.digest for one in pictures])
    own = [known.get(one.digest, []) for one in pictures]
    patients = [options.patient or _patient(gallery, rows) for rows in own]
    widest = options.k + max(map(len, own))
    result = gallery.search(found, widest, patients, where=dict(options.where) or None)
    entries = []
    for number, rows in enumerate(own):
        near = result.of(number)
        entries.append(_entry(gallery, near[~near["position"].isin(rows)].head(options.k), len(rows) > 0, options))
    return entries


def _entry(gallery: Searched, near: pd.DataFrame, inside: bool, options: SearchOptions) -> dict[str, Any]:
    """What is told of the neighbours of one image."""
    said, familiar = agreement(near), gallery.familiar
    percentile = None
    if familiar is not None and len(near):
        percentile = float(familiar.percentile(near["distance"].to_numpy()[:1])[0])
    splits = gallery.take(near["position"].to_numpy())["split"]
    neighbours = [
        {**line, "split": str(split), "distance": float(line["distance"])}
        for line, split in zip(near.to_dict(orient="records"), splits, strict=True)
    ]
    return {
        "inside": inside,
        "neighbours": neighbours,
        "agreement": {"label": said.label, "votes": said.votes, "of": said.of},
        "percentile": percentile,
        "unfamiliar": percentile is not None and percentile > options.unfamiliar,
    }


def _patient(gallery: Searched, rows: list[int]) -> str:
    return str(gallery.take(rows[:1])["patient"].iloc[0]) if rows else ""


def _tta(card: Mapping[str, Any]) -> str:
    return str(card.get("tta") or "none")
