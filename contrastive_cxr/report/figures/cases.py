"""Example cases: scored images with their nearest training images, for right and for wrong predictions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from contrastive_cxr.data.decoding.decode import decode
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import addresses, reading
from contrastive_cxr.data.files.addresses import join
from contrastive_cxr.metrics import neighbours
from contrastive_cxr.recipe import schema
from contrastive_cxr.report.facts.arrays import Arrays, identities, patients
from contrastive_cxr.report.figures.drawing import address

_SIDE = 132


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
    """A query and its nearest images; `detail` is the query's prediction, or the distance of the embeddings."""

    query: Picture
    nearest: list[Picture]


def choose(arrays: Arrays, classes: Sequence[str], each: int = 5, near: int = 6) -> dict[str, list[Case]]:
    """Up to `each` wrong predictions, the most confident first, and as many right ones, classes in turn.

    Without probabilities the prediction is the class of the nearest neighbour.

    Returns
    -------
    {"wrong": cases, "right": cases}
    """
    ids, train_ids = identities(arrays.rows, arrays.train_rows)
    who, train_who = patients(arrays.rows, arrays.train_rows)
    found, similarity = neighbours.search(
        arrays.train_vectors, arrays.vectors, near,
        gallery_ids=train_ids, query_ids=ids, gallery_patients=train_who, query_patients=who,
    )  # fmt: skip
    gallery, queries = (neighbours.unit(each, "report") for each in (arrays.train_vectors, arrays.vectors))
    gaps = neighbours.distances(gallery, queries, found)
    known = train_classes(arrays, classes)
    truth = np.array(classes, dtype=object)[arrays.labels]
    if arrays.probabilities is not None:
        decided = np.array(classes, dtype=object)[arrays.probabilities.argmax(1)]
        sure = arrays.probabilities.max(1)
    else:
        decided, sure = np.where(found[:, 0] >= 0, known[found[:, 0]], ""), similarity[:, 0]
    wrong = np.flatnonzero(decided != truth)
    chosen = {
        "wrong": wrong[np.argsort(-sure[wrong], kind="stable")][:each].tolist(),
        "right": _in_turn(np.flatnonzero(decided == truth), arrays.labels, each),
    }

    def case(row: int) -> Case:
        detail = f"predicted {decided[row]} ({sure[row]:.2f})"
        query = _picture(arrays.rows.iloc[row], truth[row], bool(decided[row] == truth[row]), detail)
        around = [
            _picture(arrays.train_rows.iloc[i], known[i], bool(known[i] == truth[row]), f"distance {gap:.4f}")
            for i, gap in zip(found[row].tolist(), gaps[row].tolist(), strict=True)
            if i >= 0
        ]
        return Case(query, around)

    return {kind: [case(row) for row in rows] for kind, rows in chosen.items()}


def train_classes(arrays: Arrays, classes: Sequence[str]) -> NDArray[np.object_]:
    """Class names of the training rows: their column `class`, else the class of scored rows with the same label."""
    if "class" in arrays.train_rows:
        return np.array(arrays.train_rows["class"], dtype=object)
    meaning = dict(zip(arrays.rows["label"], (classes[number] for number in arrays.labels), strict=True))
    return np.array([meaning.get(label, label) for label in arrays.train_rows["label"]], dtype=object)


def _in_turn(rows: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> list[int]:
    """`count` of `rows`, the classes in turn, drawn at random with a fixed seed."""
    mixed = np.random.default_rng(0).permutation(rows)
    order = pd.Series(labels[mixed]).groupby(labels[mixed]).cumcount().to_numpy()
    return [int(row) for row in mixed[np.argsort(order, kind="stable")][:count]]


def _picture(row: pd.Series, label: str, right: bool, detail: str) -> Picture:
    return Picture(thumbnail(join(row["root"], row["path"])), str(label), row["path"], right, detail)


def thumbnail(address_of: str | Path, side: int = _SIDE) -> str | None:
    """A grey JPEG of at most `side` x `side` pixels as a data address; None if the image cannot be read."""
    place = addresses.of_path(address_of)
    try:
        grey = _picture_of_file(place, side) if addresses.split(place)[1] is None else None
        grey = Image.fromarray(decode(place, schema.Data()).grey) if grey is None else grey
    except DecodeError:
        return None
    grey.thumbnail((side, side))
    buffer = io.BytesIO()
    grey.save(buffer, format="JPEG", quality=85)
    return address(buffer.getvalue(), "jpeg")


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
