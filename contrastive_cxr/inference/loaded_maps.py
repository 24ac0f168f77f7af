"""Maps of one decoded image by loaded models: where it speaks for a class, and where it is like its nearest cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from contrastive_cxr import augment
from contrastive_cxr import explain as maps
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.inference.explain import plane
from contrastive_cxr.inference.loaded import LoadedModels, Picture
from contrastive_cxr.inference.loaded_answers import (
    Floats,
    SearchOptions,
    cases,
    decided,
    predictions,
    probabilities,
    vectors,
)
from contrastive_cxr.retrieval import EmbeddingModel


def explained(loaded: LoadedModels, picture: Picture, target: str | None, options: SearchOptions) -> dict[str, Any]:
    """The image, what is decided for it, and its maps; every picture is PNG.

    Parameters
    ----------
    target : str or None
        The class that Grad-CAM explains; None: what is decided.
    options : SearchOptions
        The nearest cases that the image is compared with; `k` of them get a map, of two passes each.

    Returns
    -------
    dict
        `image` (grey, at the network's size), `prediction` and `gradcam` (None without a classifier), `similarity`, an
        entry a neighbour ([] without a gallery). A map has `target` or `neighbour`, `png` (over the image; None where
        nothing stands out or the network makes no map) and `words`, the reason why.
    """
    shown = _input(loaded, picture, "predict" if loaded.classifiers else "embed")
    said: dict[str, Any] = {"image": maps.grey(plane(shown)), "prediction": None, "gradcam": None, "similarity": []}
    if loaded.classifiers:
        found = probabilities(loaded, [picture])
        number = int(decided(loaded, found)[0]) if target is None else loaded.classes.index(target)
        network = loaded.classifiers[0].network
        said["prediction"] = predictions(loaded, found)[0]
        said["gradcam"] = {"target": loaded.classes[number]} | _drawn(
            shown, lambda: maps.class_map(network, shown, number)
        )
    if loaded.gallery is not None and loaded.embedder is not None and options.k:
        said["similarity"] = _similar(loaded, picture, options)
    return said


def _similar(loaded: LoadedModels, picture: Picture, options: SearchOptions) -> list[dict[str, Any]]:
    """The similarity map of the image toward each of its nearest cases."""
    gallery, model = loaded.gallery, loaded.embedder
    assert gallery is not None, "who asks has looked"
    assert model is not None, "who asks has looked"
    shown = _input(loaded, picture, "embed")
    near = cases(gallery, [picture], vectors(loaded, [picture]), options)[0]["neighbours"]
    entries = []
    for line in near:
        other = torch.from_numpy(gallery.take_vectors([line["position"]])[0].copy()).to(model.device)
        drawn = _drawn(shown, lambda other=other: maps.similarity(model.network, shown, other).values)  # type: ignore[misc]
        entries.append({"neighbour": line} | drawn)
    return entries


def _drawn(shown: Tensor, work: Callable[[], Floats]) -> dict[str, Any]:
    """The picture of a map over the image, or the reason why there is none."""
    try:
        over = maps.standing_out(work())
    except CcxrError as error:
        return {"png": None, "words": f"No map: {error}."}
    if over is None:
        return {"png": None, "words": "No map: it is nearly even, and no place stands out."}
    return {"png": maps.overlay(plane(shown), over), "words": ""}


def _input(loaded: LoadedModels, picture: Picture, part: str) -> Tensor:
    """The image as the first model of a part gets it: float32 [1, 1, S, S] in 0..1."""
    model: EmbeddingModel = loaded.models("predict" if part == "predict" else "embed")[0]
    return augment.plain(loaded.stacked([picture], model), model.network.spec.image_size)
