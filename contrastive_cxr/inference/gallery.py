"""Make a gallery from a run: of a recorded part of its own images, or of any images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from contrastive_cxr import locks, terminal
from contrastive_cxr.data import manifest as manifests
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import absolute, is_url, of_path, parted, split
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.evaluation import cached_embeddings
from contrastive_cxr.files import PARTIAL, complete, tidy
from contrastive_cxr.inference.given_images import Frames, images_of, warn_of_squeezed
from contrastive_cxr.inference.given_rows import is_table, layout_of
from contrastive_cxr.inference.predict import check_device
from contrastive_cxr.models import weights
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe.schema import AxisName
from contrastive_cxr.report.facts.arrays import training_vectors
from contrastive_cxr.retrieval import EmbeddingModel, Gallery
from contrastive_cxr.retrieval.index import check_kind
from contrastive_cxr.spread import Engine

EMBEDDED = Engine()
PARTS = ("train", "val", "test", "all")
ENCODER = "encoder"
"""Folder of the frozen encoder in a gallery that no run made."""


def index(
    run: Path, source: str, out: Path, *, kind: str = "auto", device: str = "cpu", frames: Frames = None,
    axis: AxisName = "axial", engine: Engine = EMBEDDED,
) -> Gallery:  # fmt: skip
    """Embed images with a run's model and write the gallery.

    Parameters
    ----------
    run : Path
        A run (its embed phase, else finetune, else pretrain), or a phase's folder.
    source : str
        `train`, `val`, `test` or `all`: that part of the run's own images, their class as label. Else an image, or a
        folder, archive, URL or table: a layout that is known (class folders, a table, COVID-CT) gives labels, patients
        and splits.
    out : Path
        New folder.
    kind : str
        Kind of index, `auto` by size.
    device : str
        auto (a GPU where there is one), cpu or cuda.
    frames, axis : as in `given.images_of`
    engine : Engine
        Of Ray: workers decode and encode, and their vectors stay in `OUT.parts` until the gallery is written.

    Raises
    ------
    RequestError
        With every fault: no run, no such part or source, unreadable images, `out` is there already or being made.
    """
    faults = faults_of(lambda: check_kind(kind))
    faults += [] if engine.is_ray else faults_of(lambda: check_device(device))
    faults += faults_of(lambda: check_new(out))
    found: list[pd.DataFrame] = []
    folders: list[Path] = []
    faults += faults_of(lambda: found.append(rows_of(run, source, frames, axis)))
    faults += faults_of(lambda: folders.append(weights.find(run, ("embed", "finetune", "pretrain"))))
    raise_faults(faults)
    with locks.held(out / locks.NAME, f"the gallery '{out}'"):
        tidy(out, held=True)
        check_new(out)
        made = embedded(folders[0], source, found[0], kind, device, engine, out)
        made.save(out)
    if engine.is_ray:
        from contrastive_cxr.inference import spread_parts

        spread_parts.drop_working(spread_parts.working(out))
    return made


def check_new(out: Path) -> None:
    """Refuse a folder with anything in it but what a killed process left half-written.

    Raises
    ------
    RequestError
        It is a file, holds something, or another process is making a gallery in it.
    """
    locks.refuse_held(out / locks.NAME, f"the gallery '{out}'")
    if out.is_dir():
        complete(out)
    left = (PARTIAL, locks.NAME, ENCODER)  # an encoder alone: a gallery that was never finished
    if out.is_file() or (out.is_dir() and any(not item.name.endswith(left) for item in out.iterdir())):
        raise RequestError(f"--out {out}: is there already and is not empty; name another folder, or remove it")


def embedded(
    folder: Path, source: str, rows: pd.DataFrame, kind: str, device: str, engine: Engine, out: Path
) -> Gallery:
    """The gallery of `rows`, by the model in `folder`."""
    terminal.stage("loading the model")
    model = EmbeddingModel.load(folder, "cpu" if engine.is_ray else device, "auto")
    vectors = recorded_vectors(folder, model, rows) if source == "train" else None
    if vectors is None:
        paths = [Path(root) / path for root, path in zip(rows["root"], rows["path"], strict=True)]
        if engine.is_ray:
            from contrastive_cxr.inference import spread_encode

            vectors = spread_encode.vectors(engine, model, [of_path(path) for path in paths], out, device)
        else:
            terminal.stage("encoding the images")
            vectors = model.embed(paths)
        warn_of_squeezed(model.squeezed, len(rows))
    terminal.stage("building the index")
    return Gallery.build(
        vectors, rows, model.digest, kind=kind, preprocessing=model.preprocessing, made_by=str(folder.resolve())
    )


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
