"""The map of the embedding: a t-SNE as points that the page can show pictures of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from contrastive_cxr.errors import CcxrError
from contrastive_cxr.report.facts.arrays import Arrays
from contrastive_cxr.report.figures.drawing import PALETTE

MOST = 1500  # points
WIDTH, HEIGHT, _EDGE = 1000, 560, 14  # units of the drawing


@dataclass(frozen=True)
class Point:
    """A scored image on the map: its row, place in the drawing, class number, whether it is wrong, and words."""

    row: int
    x: float
    y: float
    true: int
    wrong: bool
    words: str


@dataclass(frozen=True)
class EmbeddingMap:
    """Points of `n` out of `of` images; `hidden`: of a last hidden layer that differs from the embedding."""

    points: Sequence[Point]
    classes: Sequence[tuple[str, str, int]]
    n: int
    of: int
    hidden: bool
    width: int = WIDTH
    height: int = HEIGHT


def embedding_map(found: Arrays, facts: Mapping[str, Any]) -> EmbeddingMap | None:
    """A t-SNE of at most 1500 images' last hidden layer; None for too few points, or if all are the same.

    With one linear layer on the embedding, or without a classifier, the last hidden layer is the embedding.

    Raises
    ------
    CcxrError
        The arrays have other rows than report.json.
    """
    if len(found.vectors) != facts["n"]:
        raise CcxrError(
            f"the arrays of phase '{facts['phase']}' have {len(found.vectors)} rows, report.json has {facts['n']}; "
            "evaluate the run again"
        )
    of, classes = len(found.vectors), facts["task"]["classes"]
    rows = np.sort(np.random.default_rng(0).permutation(of)[:MOST])
    vectors, labels = (found.vectors if found.hidden is None else found.hidden)[rows], found.labels[rows]
    if len(rows) < 5 or float(vectors.std(axis=0).max()) < 1e-6:
        return None
    decided = labels if found.probabilities is None else found.probabilities[rows].argmax(1)
    places = TSNE(perplexity=min(30.0, (len(rows) - 1) / 3), init="pca", random_state=0).fit_transform(vectors)
    x, y = _fitted(places)
    paths = found.rows["path"].to_numpy()[rows]
    points = [
        Point(int(row), float(x[k]), float(y[k]), int(labels[k]), bool(decided[k] != labels[k]),
              _words(classes, int(labels[k]), int(decided[k]), str(paths[k])))
        for k, row in enumerate(rows)
    ]  # fmt: skip
    points.sort(key=lambda point: point.wrong)  # the wrong ones are drawn last, so that they lie on top
    legend = [(name, PALETTE[k % len(PALETTE)], int((labels == k).sum())) for k, name in enumerate(classes)]
    return EmbeddingMap(points, legend, len(rows), of, found.hidden is not None)


def _fitted(places: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The places moved into the drawing, one decimal; both axes have the same scale."""
    low, high = places.min(axis=0), places.max(axis=0)
    inner = np.array([WIDTH - 2 * _EDGE, HEIGHT - 2 * _EDGE])
    scale = float((inner / np.maximum(high - low, 1e-9)).min())
    at = (places - (low + high) / 2) * scale + np.array([WIDTH, HEIGHT]) / 2
    return at[:, 0].round(1).astype(np.float64), at[:, 1].round(1).astype(np.float64)


def _words(classes: Sequence[str], true: int, decided: int, path: str) -> str:
    said = "predicted rightly" if true == decided else f"predicted {classes[decided]}"
    return f"{classes[true]}, {said}: {path}"
