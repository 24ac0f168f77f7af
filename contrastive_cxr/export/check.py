"""An exported file beside the model that it was made of, on the same images."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contrastive_cxr import augment, terminal
from contrastive_cxr.errors import RequestError
from contrastive_cxr.export.graph import Parts
from contrastive_cxr.export.onnx_file import Runner
from contrastive_cxr.metrics import decisions
from contrastive_cxr.models import links
from contrastive_cxr.retrieval import EmbeddingModel
from contrastive_cxr.retrieval.embedding import run_views

LEAST_COSINE = 0.9999
TIE = 1e-5
"""A probability this near a threshold answers by its last bits: thresholds are probabilities of validation images."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Outputs:
    """Of N images: vectors float32 [N, D], probabilities float32 [N, C], decisions int64 [N]; None: not exported."""

    vectors: Floats | None
    probabilities: Floats | None
    decisions: NDArray[np.int64] | None


def reference(parts: Parts, batches: Iterable[NDArray[np.uint8]]) -> Outputs:
    """What the model says of images, in PyTorch and as `ccxr encode` and `ccxr predict` compute it."""
    vectors: list[Floats] = []
    probabilities: list[Floats] = []
    for images in batches:
        pixels = torch.from_numpy(images)
        if parts.encoder is not None:
            network = parts.encoder.network
            views = augment.views(pixels, network.spec.image_size, "none")
            vectors.append(run_views(network, views, network.embed).numpy())
        if parts.classifier is not None:
            probabilities.append(_predicted(parts.classifier, pixels))
    said = np.concatenate(probabilities) if probabilities else None
    return Outputs(np.concatenate(vectors) if vectors else None, said, None if said is None else _decided(parts, said))


def _predicted(model: EmbeddingModel, pixels: Tensor) -> Floats:
    network, link = model.network, model.card["link"]
    views = augment.views(pixels, network.spec.image_size, model.card["tta"])
    found: Floats = run_views(network, views, lambda view: links.probabilities(network.logits(view), link)).numpy()
    return found


def _decided(parts: Parts, probabilities: Floats) -> NDArray[np.int64]:
    """Decisions as `ccxr predict` writes them."""
    assert parts.classifier is not None, "only models with classes decide"
    costs = parts.classifier.card["costs"]
    if costs:
        return decisions.decide(probabilities, decisions.matrix(parts.classifier.classes, costs))
    found: NDArray[np.int64] = probabilities.argmax(1).astype(np.int64)
    return found


def exported(parts: Parts, run: Runner, batches: Iterable[NDArray[np.uint8]], count: int) -> Outputs:
    """What an exported file says of images."""
    found: list[list[NDArray[Any]]] = []
    done = 0
    for images in batches:
        found.append(run(images))
        done += len(images)
        terminal.share(done, count)
    joined = dict(zip(parts.outputs, (np.concatenate(each) for each in zip(*found, strict=True)), strict=True))
    return Outputs(joined.get("embedding"), joined.get("probabilities"), joined.get("decision"))


def compare(parts: Parts, first: Outputs, second: Outputs) -> dict[str, Any]:
    """How far an export is from its model.

    Returns
    -------
    {least_cosine, largest_probability_difference, differing_decisions, differing_thresholds, at_a_threshold}; None for
    what was not exported. The last counts images within 1e-5 of a threshold, whose answer is not compared.
    """
    facts: dict[str, Any] = {
        "least_cosine": None, "largest_probability_difference": None, "differing_decisions": None,
        "differing_thresholds": None, "at_a_threshold": None,
    }  # fmt: skip
    if first.vectors is not None and second.vectors is not None:
        facts["least_cosine"] = float(cosines(first.vectors, second.vectors).min())
    if first.probabilities is not None and second.probabilities is not None:
        mine, theirs = first.probabilities, second.probabilities
        assert first.decisions is not None, "decided where there are probabilities"
        facts["largest_probability_difference"] = float(np.abs(mine - theirs).max())
        facts["differing_decisions"] = int((first.decisions != second.decisions).sum())
        facts |= _thresholds(parts, mine, theirs)
    return facts


def cosines(first: Floats, second: Floats) -> NDArray[np.float64]:
    """Cosine of each pair of rows, float64 [N]; 0 where a row has no length."""
    mine, theirs = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths == 0, 0.0, (mine * theirs).sum(1) / lengths)


def _thresholds(parts: Parts, first: Floats, second: Floats) -> dict[str, int]:
    """Answers to the report's thresholds that differ, and images that are too near to one."""
    assert parts.classifier is not None, "only models with classes decide"
    differing = near = 0
    for threshold in parts.fitted.thresholds.values():
        column = parts.classifier.classes.index(parts.fitted.positive)
        mine, theirs = first[:, column], second[:, column]
        tied = np.abs(mine.astype(np.float64) - threshold) <= TIE
        differing += int((((mine >= threshold) != (theirs >= threshold)) & ~tied).sum())
        near += int(tied.sum())
    return {"differing_thresholds": differing, "at_a_threshold": near}


def refuse(facts: dict[str, Any], to: str, backbone: str, images: int) -> None:
    """Raise a `RequestError` where an export is not its model.

    A vector or probability that is no number fails too.
    """
    cosine, gap = facts["least_cosine"], facts["largest_probability_difference"]
    faults = []
    if cosine is not None and not cosine >= LEAST_COSINE:
        faults.append(f"the least cosine is {cosine:.6f} and {LEAST_COSINE} is needed")
    if gap is not None and not math.isfinite(gap):
        faults.append("probabilities are no numbers")
    if facts["differing_decisions"]:
        faults.append(f"{facts['differing_decisions']} decisions differ")
    if facts["differing_thresholds"]:
        faults.append(f"{facts['differing_thresholds']} answers to thresholds differ")
    others = " or ".join(f"--to {word}" for word in ("onnx", "torch", "hf") if word != to)
    if faults:
        raise RequestError(
            f"--to {to}: the export of {backbone} is not the model it was made of: on {images} images "
            f"{' and '.join(faults)}; nothing was kept. Give {others}"
        )
