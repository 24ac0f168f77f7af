"""The rows that a gallery is made of: a recorded part of a run's own images, or any images; vectors that are there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr.data import manifest as manifests
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import absolute, is_url, of_path, parted, split
from contrastive_cxr.errors import RequestError
from contrastive_cxr.evaluation import cached_embeddings
from contrastive_cxr.inference.given_images import Frames, images_of
from contrastive_cxr.inference.given_rows import is_table, layout_of
from contrastive_cxr.recipe.schema import AxisName
from contrastive_cxr.report.facts.arrays import training_vectors
from contrastive_cxr.retrieval import EmbeddingModel

PARTS = ("train", "val", "test", "all")


def rows_of(run: Path, source: str, frames: Frames = None, axis: AxisName = "axial") -> pd.DataFrame:
    """The rows of a source: `root`, `path`, `label`, `patient`, `split` and what else its table has.

    Raises
    ------
    RequestError
        No such part, or nothing to read.
    """
    if source in PARTS:
        return part_of(run, source)
    place = Path(source)
    if not (is_url(source) or place.exists() or split(source)[1] or reading.in_archive(source)[0]):
        raise RequestError(
            f"{source}: is neither a part of the run ({', '.join(PARTS)}) nor an image, folder, archive or URL; name "
            "one of them"
        )
    holds = reading.is_archive_place(source) or (is_url(source) and not _is_file(source)) or place.is_dir()
    if holds or is_table(source):
        try:
            return layout_of(source, frames, axis)
        except RequestError as error:
            if is_url(source) or not place.is_dir() or _has_layout(place):
                raise error
    root = absolute(source if holds else parted(source)[0])
    files = [absolute(of_path(file)) for file in images_of(place, frames, axis)]
    return pd.DataFrame({"root": root, "path": [file.removeprefix(f"{root.rstrip('/')}/") for file in files]})


def _has_layout(place: Path) -> bool:
    """Whether a folder means to have a layout: a table, or folders in it."""
    return any(place.glob("*.csv")) or any(child.is_dir() for child in place.iterdir())


def _is_file(url: str) -> bool:
    """Whether a URL is one file, refused by name where it cannot be reached."""
    try:
        return reading.is_file_behind(url)
    except DecodeError as error:
        raise RequestError(f"{url} {error.reason}") from error


def part_of(run: Path, part: str) -> pd.DataFrame:
    """The run's own rows of a part; `label` is the class of the training, `label_in_source` what it was made of."""
    table = next((folder / "manifest.csv" for folder in (run, run.parent) if (folder / "manifest.csv").is_file()), None)
    if table is None:
        raise RequestError(f"{run}: has no manifest.csv, so no part '{part}'; give a run folder, or a folder of images")
    rows = manifests.read_table(table)
    rows = rows if part == "all" else rows[rows["split"] == part]
    if not len(rows):
        raise RequestError(f"{run}: no image is in its part '{part}'; name another part, or a folder of images")
    if "class" in rows:
        rows = rows.rename(columns={"label": "label_in_source", "class": "label"})
    return rows.reset_index(drop=True)


def recorded_vectors(folder: Path, model: EmbeddingModel, rows: pd.DataFrame) -> NDArray[np.float32] | None:
    """Vectors of the training images as the run's evaluation left them; None where they are of others."""
    arrays = folder / "arrays"
    try:
        made = json.loads((arrays / cached_embeddings.MADE).read_text(encoding="utf-8"))
        found = training_vectors(arrays)
    except (OSError, ValueError, RequestError):
        return None
    if found is None:
        return None
    table, vectors = found
    same = "digest" in rows and "digest" in table and table["digest"].tolist() == rows["digest"].tolist()
    if not same or made.get("train_model") != model.digest or vectors.shape != (len(rows), model.size):
        return None
    return np.asarray(vectors, dtype=np.float32)
