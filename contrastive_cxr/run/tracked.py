"""What a run tells its trackers besides numbers: which images, what came out of the scored ones, which gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class DataFacts:
    """The images of a run without their names or patients.

    Attributes
    ----------
    digest : str
        SHA-256 over each image's content, class and part: the same for the same data.
    counts : {part: {class: images}}
    rows : N tuples (digest of the content, class, part)
    """

    digest: str
    counts: Mapping[str, Mapping[str, int]]
    rows: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Case:
    """A scored image and the training images nearest to it.

    Attributes
    ----------
    row : int
        Its place among the scored images.
    picture : uint8 [S, S]
    near : uint8 [K, S, S]
        Of the neighbours, nearest first; K may be 0.
    labels : K class names
    distances : K distances of the unit vectors, 0 to 2
    """

    row: int
    picture: Pictures
    near: Pictures
    labels: Sequence[str]
    distances: Sequence[float]


@dataclass(frozen=True)
class Embedded:
    """Vectors of scored images, for a projection.

    Attributes
    ----------
    rows : int64 [M], places among the scored images
    vectors : float32 [M, D], unit length
    pictures : uint8 [M, S, S]
    """

    rows: Ints
    vectors: NDArray[np.float32]
    pictures: Pictures


@dataclass(frozen=True)
class Scored:
    """What the last phase made of N scored images.

    Attributes
    ----------
    classes : C names
    files : N paths, as in `rows.csv`
    labels : int64 [N]
    probabilities : float [N, C]
    confusion : [C][C] counts, a row a true class
    roc : {class: [[false positive rate, true positive rate], ...]}
    cases : some of them, wrong ones first
    embedded : some of them
    """

    classes: Sequence[str]
    files: Sequence[str]
    labels: Ints
    probabilities: NDArray[np.floating[Any]]
    confusion: Sequence[Sequence[int]]
    roc: Mapping[str, Sequence[Sequence[float]]]
    cases: Sequence[Case] = ()
    embedded: Embedded | None = None

    def decided(self, row: int) -> str:
        """The most probable class of an image."""
        return self.classes[int(self.probabilities[row].argmax())]

    def label(self, row: int) -> str:
        """The true class of an image."""
        return self.classes[int(self.labels[row])]

    def share(self, row: int) -> float:
        """The probability of the decided class."""
        return float(self.probabilities[row].max())


@dataclass(frozen=True)
class GalleryFacts:
    """A gallery that a model of the run made: its folder's name, model (SHA-256), images, index and labels."""

    name: str
    model: str
    images: int
    kind: str
    labels: Mapping[str, int] = field(default_factory=dict)


def strip(pictures: Sequence[Pictures], gap: int = 2) -> Pictures:
    """Pictures uint8 [S, S] side by side, uint8 [S, W], white between them."""
    height = pictures[0].shape[0]
    parts = [part for picture in pictures for part in (picture, np.full((height, gap), 255, np.uint8))]
    return np.concatenate(parts[:-1], axis=1)
