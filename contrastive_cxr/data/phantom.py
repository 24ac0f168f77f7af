"""Painted chest-like pictures with lesions of known class and place: data that anyone may have.

The picture is a toy: two dark lung fields, ribs, mediastinum, smooth vessels, noise, an exposure and a pose of its own,
an anatomy shared by the pictures of one patient. What tells the classes apart is mostly finer than a 32x32 thumbnail
(a random forest on those reaches an accuracy of about 0.72, a small CNN at 64 pixels more than 0.95):

normal    smooth blurred shadows only (the other classes have them too, less often)
nodule    two to four sharp-edged discs of 5 to 9 pixels, close together, more often in the upper half
opacity   one patch of 24 to 44 pixels with a net-like texture of 6 to 8 pixels' period, more often in the lower half
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

VERSION = 1  # a changed painter is another data set: the folder's name holds this number
SIZE = 128
CLASSES = ("normal", "nodule", "opacity")
BOX_COLUMNS = ("lesion_x0", "lesion_y0", "lesion_x1", "lesion_y1")
HAZE = (0.05, 0.11)  # brightness of smooth shadows: what a thumbnail sees of a lesion
BLOCK = 64  # pictures painted at once: 4 MiB a float32 plane

Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


@dataclass(frozen=True)
class Anatomy:
    """Chest geometry of N pictures, float32 [N], pixels (tilt: pixels of shift from top to bottom)."""

    centre_x: Floats
    centre_y: Floats
    gap: Floats
    half_width: Floats
    half_height: Floats
    tilt: Floats
    rib_period: Floats
    rib_phase: Floats
    heart: Floats

    def take(self, rows: NDArray[np.int64]) -> Anatomy:
        """The anatomy of some pictures, in the order of `rows`."""
        return Anatomy(**{name: values[rows] for name, values in vars(self).items()})


def paint(folder: Path, images: int, seed: int) -> None:
    """Paint pictures into a folder.

    Parameters
    ----------
    folder : Path
        Gets `images/NNNNN.png` (8-bit grey, 128x128) and `labels.csv` (file, label, patient, lesion box); made where
        missing.
    images : int
        Number of pictures, >= 1; the three classes are as even as whole patients allow, about 1.5 pictures a patient.
    seed : int
        The same seed paints the same bytes.
    """
    rng = np.random.default_rng(seed)
    patients, labels = _patients(images, rng)
    anatomy = _anatomy(patients, rng)
    boxes = np.full((images, 4), -1, dtype=np.int64)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"images/{number:05d}.png" for number in range(images)]
    for start in range(0, images, BLOCK):
        rows = np.arange(start, min(start + BLOCK, images))
        part = anatomy.take(rows)
        planes = _chest(part, rng)
        for plane, row in zip(planes, rows, strict=True):
            _shadows(plane, part, int(row) - start, int(labels[row]), rng)
            if labels[row]:
                boxes[row] = _lesion(plane, part, int(row) - start, int(labels[row]), rng)
        for pixels, row in zip(_expose(planes, rng), rows, strict=True):
            Image.fromarray(pixels).save(folder / names[row], compress_level=1)
    table = pd.DataFrame({"file": names, "label": [CLASSES[label] for label in labels]})
    table["patient"] = [f"p{patient:05d}" for patient in patients]
    for column, values in zip(BOX_COLUMNS, boxes.T, strict=True):
        table[column] = ["" if value < 0 else str(value) for value in values]
    table.to_csv(folder / "labels.csv", index=False, lineterminator="\n")


def lesion_boxes(rows: pd.DataFrame) -> Floats:
    """Lesion boxes of manifest rows, float32 [N, 4]: x0, y0, x1, y1 in pixels of the file, ends exclusive; nan: no."""
    columns = [pd.to_numeric(rows[column], errors="coerce") for column in BOX_COLUMNS]
    return np.stack([column.to_numpy(dtype=np.float32) for column in columns], axis=1)


def _patients(images: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Patient and class of each picture, int64 [N]; a patient has one or two pictures, all of one class."""
    sizes = rng.integers(1, 3, size=images)
    count = np.zeros(len(CLASSES), dtype=np.int64)
    owner = np.empty(len(sizes), dtype=np.int64)
    for patient, size in enumerate(sizes):
        owner[patient] = rng.permutation(len(CLASSES))[0] if np.ptp(count) == 0 else int(np.argmin(count))
        count[owner[patient]] += size
    patients = np.repeat(np.arange(len(sizes)), sizes)[:images]
    return patients, owner[patients]


def _anatomy(patients: NDArray[np.int64], rng: np.random.Generator) -> Anatomy:
    """One anatomy a patient, one pose a picture."""

    def of_patient(low: float, high: float) -> Floats:
        return rng.uniform(low, high, int(patients.max()) + 1).astype(np.float32)[patients]

    def of_picture(spread: float) -> Floats:
        return rng.normal(0.0, spread, len(patients)).astype(np.float32)

    scale = 1.0 + of_picture(0.03)
    return Anatomy(
        centre_x=64 + of_picture(3.0),
        centre_y=of_patient(60, 68) + of_picture(3.0),
        gap=of_patient(25, 29) * scale,
        half_width=of_patient(18, 23) * scale,
        half_height=of_patient(38, 46) * scale,
        tilt=of_picture(5.0),
        rib_period=of_patient(12, 16) * scale,
        rib_phase=of_patient(0, 2 * np.pi) + of_picture(0.5),
        heart=of_patient(13, 19) * scale,
    )


def _disc(x: Floats, y: Floats, half_width: Floats, half_height: Floats, edge: float) -> Floats:
    """Soft ellipse in 0..1; `edge` is the width of its border as a share of the radius."""
    radius = np.sqrt((x / half_width) ** 2 + (y / half_height) ** 2)
    return np.asarray(1.0 / (1.0 + np.exp(np.clip((radius - 1.0) / edge, -30, 30))), dtype=np.float32)


def _smooth(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> Floats:
    """Noise of unit variance at `cells` x `cells` nodes, linear between them, float32 [*shape, SIZE, SIZE]."""
    nodes = np.linspace(0, cells - 1, SIZE, dtype=np.float32)
    weights = np.clip(1 - np.abs(nodes[:, None] - np.arange(cells, dtype=np.float32)), 0, 1)
    return np.asarray(weights @ rng.standard_normal((*shape, cells, cells), dtype=np.float32) @ weights.T)


def _chest(anatomy: Anatomy, rng: np.random.Generator) -> Floats:
    """Chests without lesions, float32 [N, SIZE, SIZE], about 0..1, bright where dense."""
    a = {name: values[:, None, None] for name, values in vars(anatomy).items()}
    x = X - a["centre_x"] - a["tilt"] * (Y - 64) / SIZE
    y = Y - a["centre_y"]
    body = _disc(x, y - 8, a["gap"] + 1.6 * a["half_width"], 1.6 * a["half_height"], 0.06)
    lungs = _disc(np.abs(x) - a["gap"], y, a["half_width"], a["half_height"], 0.07)
    ribs = np.sin(2 * np.pi * (y + 0.012 * (np.abs(x) - 10) ** 2) / a["rib_period"] + a["rib_phase"])
    spine = np.exp(-((x / 7) ** 2))
    heart = _disc(x - 9, y - 20, a["heart"], 1.2 * a["heart"], 0.15)
    vessels = _smooth((len(x),), 17, rng)
    plane = 0.55 * body - 0.34 * lungs + 0.05 * np.maximum(ribs, 0) * body + 0.10 * spine + 0.18 * heart * body
    return np.asarray(plane + 0.025 * vessels * lungs, dtype=np.float32)


def _place(anatomy: Anatomy, row: int, height: float, rng: np.random.Generator) -> tuple[float, float]:
    """A point inside one of the lungs; `height` in -1..1 is the middle of its place, from top to bottom."""
    side = rng.choice([-1.0, 1.0])
    v = float(np.clip(height + rng.normal(0, 0.2), -0.62, 0.62))
    u = rng.uniform(-0.4, 0.4)
    y = float(anatomy.centre_y[row] + v * anatomy.half_height[row])
    tilt = float(anatomy.tilt[row]) * (y - 64) / SIZE
    x = float(anatomy.centre_x[row] + tilt + side * anatomy.gap[row] + u * anatomy.half_width[row])
    return x, y


def _shadows(plane: Floats, anatomy: Anatomy, row: int, label: int, rng: np.random.Generator) -> None:
    """Add smooth shadows that mean nothing: as bright in a thumbnail as a lesion is."""
    for _ in range(int(rng.integers(1, 3)) if label == 0 else int(rng.integers(0, 2))):
        x, y = _place(anatomy, row, 0.0, rng)
        plane += _blur(x, y, rng.uniform(7, 12), rng.uniform(*HAZE))


def _blur(x: float, y: float, width: float, height: float) -> Floats:
    """A Gaussian hill at a point, float32 [SIZE, SIZE]."""
    return np.asarray(height * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * width**2)), dtype=np.float32)


def _lesion(plane: Floats, anatomy: Anatomy, row: int, label: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Add the lesion of class `label` and return its box."""
    x, y = _place(anatomy, row, -0.4 if label == 1 else 0.4, rng)
    mask, added = _nodules(x, y, rng) if label == 1 else _net(x, y, rng)
    plane += added + _blur(x, y, rng.uniform(9, 13), rng.uniform(*HAZE))
    columns, rows = np.flatnonzero((mask > 0.5).any(axis=0)), np.flatnonzero((mask > 0.5).any(axis=1))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def _nodules(x: float, y: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Sharp-edged discs around a point: (mask, what they add)."""
    mask = np.zeros((SIZE, SIZE), dtype=np.float32)
    for angle in rng.uniform(0, 2 * np.pi) + np.arange(rng.integers(2, 5)) * np.pi / 2:
        away, radius = rng.uniform(5, 9), rng.uniform(2.5, 4.5)
        distance = np.hypot(X - x - away * np.cos(angle), Y - y - away * np.sin(angle))
        mask = np.maximum(mask, np.clip(radius + 0.5 - distance, 0, 1))
    return mask, np.asarray(np.float32(rng.uniform(0.10, 0.20)) * mask)


def _net(x: float, y: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A patch of crossing lines, on the whole a little brighter than the lung: (mask, what it adds)."""
    size = rng.uniform(12, 22, size=2).astype(np.float32)
    mask = _disc(X - x, Y - y, size[0], size[1], 0.08)
    bend = 1.5 * _smooth((), 17, rng)
    angle, lines = rng.uniform(0, np.pi), np.zeros_like(mask)
    for turn in range(3):
        along = np.cos(angle + turn * np.pi / 3) * X + np.sin(angle + turn * np.pi / 3) * Y
        lines += np.sin(2 * np.pi * (along + bend) / rng.uniform(6, 8) + rng.uniform(0, 2 * np.pi)) / 3
    return mask, np.asarray(mask * (rng.uniform(0.02, 0.06) + rng.uniform(0.12, 0.22) * lines), dtype=np.float32)


def _expose(planes: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise, and an exposure of its own for each picture; uint8 [N, SIZE, SIZE]."""
    shape = (len(planes), 1, 1)
    noise = rng.standard_normal(planes.shape, dtype=np.float32) * rng.uniform(0.015, 0.03, shape).astype(np.float32)
    light = np.clip(planes + noise + 0.12, 0.001, 1) ** rng.uniform(0.9, 1.1, shape).astype(np.float32)
    grey = rng.uniform(0.9, 1.05, shape).astype(np.float32) * light + rng.uniform(0.0, 0.05, shape).astype(np.float32)
    return np.asarray(np.clip(255 * grey, 0, 255).round(), dtype=np.uint8)
