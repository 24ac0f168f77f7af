"""Example cases: scored images with their nearest training images, for right and for wrong predictions."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

import contrastive_cxr.report.figures.drawing as drawing
from contrastive_cxr.data.decoding.decode import decode
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import addresses, reading
from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.recipe import schema
from contrastive_cxr.report.facts.arrays import Arrays, ClassMap, Scored, identities, patients

_SIDE = 168  # pixels of a neighbour
_QUERY = 384  # pixels of a scored image, which the page can enlarge
WRONG, RIGHT, NEAR = 12, 6, 6


@dataclass(frozen=True)
class Picture:
    """One thumbnail: `image` is a data address, or None if the file could not be read."""

    image: str | None
    label: str
    path: str
    right: bool
    detail: str


@dataclass(frozen=True)
class Case:
    """A query, its Grad-CAM and its nearest images.

    Attributes
    ----------
    row : its number among the scored rows
    query : `detail` is the prediction and its confidence
    nearest : `detail` is the distance of the embeddings
    heat : Grad-CAM for the predicted class as a data address; None if there is none
    no_heat : why there is none, or why it has no colour; else empty
    of : whose map it is, in words behind `Grad-CAM`; empty for a run by itself
    """

    row: int
    query: Picture
    nearest: list[Picture]
    heat: str | None = None
    no_heat: str = ""
    of: str = ""


@dataclass(frozen=True)
class Neighbourhood:
    """The training images nearest to each scored image.

    Attributes
    ----------
    ids : int64 [N, k], -1 where there is none
    similarity, distances : float [N, k], cosines and sqrt(2 - 2 cos)
    classes : class names [M] of the training images
    """

    ids: NDArray[np.int64]
    similarity: NDArray[np.float32]
    distances: NDArray[np.floating[Any]]
    classes: NDArray[np.object_]


def neighbourhood(arrays: Arrays, classes: Sequence[str], near: int = NEAR) -> Neighbourhood:
    """Search the training images; never the image itself, and no image of its own patient."""
    ids, train_ids = identities(arrays.rows, arrays.train_rows)
    who, train_who = patients(arrays.rows, arrays.train_rows)
    found, similarity = neighbours.search(
        arrays.train_vectors, arrays.vectors, near,
        gallery_ids=train_ids, query_ids=ids, gallery_patients=train_who, query_patients=who,
    )  # fmt: skip
    vectors, queries = (neighbours.unit(each, "report") for each in (arrays.train_vectors, arrays.vectors))
    gaps = neighbours.distances(vectors, queries, found)
    return Neighbourhood(found, similarity, gaps, train_classes(arrays, classes))


def rows_shown(
    sure: NDArray[Any], decided: NDArray[Any], truth: NDArray[Any], wrong: int = WRONG, right: int = RIGHT
) -> list[int]:
    """The rows of the cases: wrong predictions, the most confident first, then right ones, classes in turn.

    Parameters
    ----------
    sure : float [N], confidence of each prediction
    decided, truth : [N], predicted and true class, as numbers or names
    """
    missed = np.flatnonzero(decided != truth)
    first = missed[np.argsort(-sure[missed], kind="stable")][:wrong].tolist()
    return [*first, *_in_turn(np.flatnonzero(decided == truth), truth, right)]


def choose(
    arrays: Arrays,
    classes: Sequence[str],
    near: Neighbourhood,
    maps: Mapping[int, ClassMap] | None = None,
    wrong: int = WRONG,
    right: int = RIGHT,
) -> dict[str, list[Case]]:
    """The images of `rows_shown`, with their neighbours and maps.

    Without probabilities the prediction is the class of the nearest neighbour.

    Returns
    -------
    {"wrong": cases, "right": cases}
    """
    names, heats = np.array(classes, dtype=object), maps or {}
    truth = names[arrays.labels]
    if arrays.probabilities is not None:
        numbers, sure = arrays.probabilities.argmax(1), arrays.probabilities.max(1)
        rows = rows_shown(sure, numbers, arrays.labels, wrong, right)
        decided = names[numbers]
    else:
        decided = np.where(near.ids[:, 0] >= 0, near.classes[near.ids[:, 0]], "")
        sure = near.similarity[:, 0]
        rows = rows_shown(sure, decided, truth, wrong, right)

    def case(row: int) -> Case:
        query = _query(arrays.rows.iloc[row], truth[row], decided[row], sure[row])
        around = [
            _picture(arrays.train_rows.iloc[i], near.classes[i], bool(near.classes[i] == truth[row]),
                     f"distance {gap:.4f}")
            for i, gap in zip(near.ids[row].tolist(), near.distances[row].tolist(), strict=True)
            if i >= 0
        ]  # fmt: skip
        return Case(row, query, around, *_heat(heats.get(row)))

    return _sides([case(row) for row in rows])


def without_neighbours(
    found: Scored, classes: Sequence[str], maps: Mapping[int, ClassMap], of: Mapping[int, str]
) -> dict[str, list[Case]]:
    """The cases of a cascade or a pool, which has no embedding of its own; `of` are the words for the maps' parts."""
    names = np.array(classes, dtype=object)
    truth, decided = names[found.labels], names[found.decided]

    def case(row: int) -> Case:
        query = _query(found.rows.iloc[row], truth[row], decided[row], found.sure[row])
        heat, words = _heat(maps.get(row)) if maps else (None, "")
        missing = "No Grad-CAM: the image was not readable, or the network makes no map." if maps else ""
        whose = of.get(maps[row].part, "") if row in maps else ""
        return Case(row, query, [], heat, words or ("" if heat else missing), whose)

    return _sides([case(row) for row in rows_shown(found.sure, found.decided, found.labels)])


def _sides(found: Sequence[Case]) -> dict[str, list[Case]]:
    return {
        "wrong": [each for each in found if not each.query.right],
        "right": [each for each in found if each.query.right],
    }


def _query(row: pd.Series, truth: str, decided: str, sure: float) -> Picture:
    return _picture(row, truth, bool(decided == truth), f"predicted {decided} ({sure:.2f})", _QUERY)


def _heat(found: ClassMap | None) -> tuple[str | None, str]:
    if found is None:
        return None, ""
    if not found.signal:
        return None, "No Grad-CAM: no place of this image stands out for the predicted class."
    return drawing.encoded(Image.fromarray(found.picture), quality=82), ""


def train_classes(arrays: Arrays, classes: Sequence[str]) -> NDArray[np.object_]:
    """Class names of the training rows: their column `class`, else the class of scored rows with the same label."""
    if "class" in arrays.train_rows:
        return np.array(arrays.train_rows["class"], dtype=object)
    meaning = dict(zip(arrays.rows["label"], (classes[number] for number in arrays.labels), strict=True))
    return np.array([meaning.get(label, label) for label in arrays.train_rows["label"]], dtype=object)


def _in_turn(rows: NDArray[np.int64], truth: NDArray[Any], count: int) -> list[int]:
    """`count` of `rows`, the classes in turn, drawn at random with a fixed seed."""
    mixed = np.random.default_rng(0).permutation(rows)
    order = pd.Series(truth[mixed]).groupby(truth[mixed]).cumcount().to_numpy()
    return [int(row) for row in mixed[np.argsort(order, kind="stable")][:count]]


def _picture(row: pd.Series, label: str, right: bool, detail: str, side: int = _SIDE) -> Picture:
    return Picture(thumbnail(join(row["root"], row["path"]), side), str(label), row["path"], right, detail)


def thumbnail(address_of: str | Path, side: int = _SIDE) -> str | None:
    """A grey JPEG of at most `side` x `side` pixels as a data address; None if the image cannot be read."""
    place = addresses.of_path(address_of)
    try:
        grey = _picture_of_file(place, side) if addresses.split(place)[1] is None else None
        grey = Image.fromarray(decode(place, schema.Data()).grey) if grey is None else grey
    except DecodeError:
        return None
    grey.thumbnail((side, side))
    return drawing.encoded(grey, quality=82)


def _picture_of_file(place: str, side: int) -> Image.Image | None:
    """The picture as Pillow reads it, at about the size that is needed; None if Pillow cannot, as for a DICOM file."""
    try:
        with Image.open(io.BytesIO(reading.content(place))) as image:
            image.draft("L", (2 * side, 2 * side))
            return _grey(image)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def _grey(image: Image.Image) -> Image.Image:
    if image.mode[0] not in "IF":
        return image.convert("L")
    values = np.asarray(image, dtype=np.float64)  # deeper than 8 bits: convert("L") would clip it to white
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8))
