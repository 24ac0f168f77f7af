"""All scored images: a small picture of each with its class, prediction and file, what a reader looks for first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

import contrastive_cxr.report.figures.drawing as drawing
from contrastive_cxr.report.facts.arrays import Arrays, Decided
from contrastive_cxr.report.figures.cases import Neighbourhood

_SHARP = 60  # WebP quality of a picture
_NEAR = 4  # neighbours that are named


@dataclass(frozen=True)
class Shot:
    """A scored image: its row, picture as a data address, class numbers, confidence and its probabilities in words."""

    row: int
    image: str
    true: int
    predicted: int
    sure: float
    probabilities: str
    path: str

    @property
    def right(self) -> bool:
        """Whether it was predicted rightly."""
        return self.true == self.predicted


@dataclass(frozen=True)
class Confusion:
    """The images of a class that were predicted as a class: how many, and their confidence, median and largest."""

    true: str
    predicted: str
    n: int
    median: float
    largest: float


def shots(found: Decided) -> list[Shot]:
    """The images with a picture: wrong predictions first, the most confident first; then right ones, the least sure."""
    sure = confidence(found)
    wrong = found.decided != found.labels
    order = np.lexsort((np.where(wrong, -sure, sure), ~wrong))
    return [_shot(found, int(place), float(sure[place])) for place in order]


def confidence(found: Decided) -> np.ndarray[Any, Any]:
    """The probability of each prediction, float [n]; 1 where there are no probabilities."""
    if found.probabilities is None:
        return np.ones(len(found.decided))
    return found.probabilities[np.arange(len(found.decided)), found.decided]


def _shot(found: Decided, place: int, sure: float) -> Shot:
    given = () if found.probabilities is None else found.probabilities[place]
    return Shot(
        row=int(found.rows[place]),
        image=drawing.encoded(Image.fromarray(found.thumbnails[place]), "webp", _SHARP),
        true=int(found.labels[place]),
        predicted=int(found.decided[place]),
        sure=sure,
        probabilities=",".join(f"{value:.3f}" for value in given),
        path=found.paths[place],
    )


def confusions(found: Decided, classes: Sequence[str]) -> list[Confusion]:
    """Each true class with each prediction that occurs, the right one first, then the most frequent."""
    sure, lines = confidence(found), []
    for true, name in enumerate(classes):
        for predicted, other in enumerate(classes):
            mine = sure[(found.labels == true) & (found.decided == predicted)]
            if len(mine):
                lines.append((true, true != predicted, -len(mine), Confusion(
                    name, other, len(mine), float(np.median(mine)), float(mine.max())
                )))  # fmt: skip
    return [line[-1] for line in sorted(lines, key=lambda line: line[:3])]


def named_neighbours(found: Arrays, near: Neighbourhood, shown: Sequence[Shot]) -> dict[str, Any]:
    """{train: [[path, class], ...], near: {row: [[place in train, distance], ...]}} of the shown images."""
    wanted = [each.row for each in shown]
    ids = near.ids[wanted, :_NEAR]
    used = np.unique(ids[ids >= 0])
    place = {int(number): at for at, number in enumerate(used)}
    paths = found.train_rows["path"].to_numpy()
    return {
        "train": [[str(paths[number]), str(near.classes[number])] for number in used],
        "near": {
            str(row): [
                [place[int(i)], round(float(gap), 4)]
                for i, gap in zip(near.ids[row, :_NEAR], near.distances[row, :_NEAR], strict=True)
                if i >= 0
            ]
            for row in wanted
        },
    }
