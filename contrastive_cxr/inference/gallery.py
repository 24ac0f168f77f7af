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
from contrastive_cxr.data.files.store_urls import Place, StoreUrl
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
from contrastive_cxr.retrieval import EmbeddingModel, Gallery, Searched, StoreGallery, open_gallery
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.index import check_kind
from contrastive_cxr.retrieval.stores import words
from contrastive_cxr.retrieval.stores.convert import converted
from contrastive_cxr.retrieval.stores.filling import fill
from contrastive_cxr.retrieval.stores.lance_store import DATA, FILLING
from contrastive_cxr.retrieval.stores.record import check_kind as check_store_kind
from contrastive_cxr.retrieval.stores.store import Store

PARTS = ("train", "val", "test", "all")
ENCODER = "encoder"
"""Folder of the frozen encoder in a gallery that no run made."""


def index(
    run: Path, source: str, out: Path | None, *, store: str | StoreUrl = "folder", kind: str = "auto",
    device: str = "cpu", frames: Frames = None, axis: AxisName = "axial",
) -> Searched:  # fmt: skip
    """Embed images with a run's model and write the gallery.

    Parameters
    ----------
    run : Path
        A run (its embed phase, else finetune, else pretrain), or a phase's folder.
    source : str
        `train`, `val`, `test` or `all`: that part of the run's own images, their class as label. Else an image, or a
        folder, archive, URL or table: a layout that is known (class folders, a table, COVID-CT) gives labels, patients
        and splits.
    out : Path, optional
        New folder; none for PostgreSQL.
    store : str or StoreUrl
        `folder` (vectors in memory), `lance`, `lance:URL` or `postgresql://...` (a block at a time; a killed command
        goes on where it was).
    kind : str
        Kind of index, `auto` by size.
    device : str
        auto (a GPU where there is one), cpu or cuda.
    frames, axis : as in `given.images_of`

    Raises
    ------
    RequestError
        With every fault: no run, no such part or source, unreadable images, `out` is there already or being made, a
        package is missing, a server does not answer.
    """
    faults = faults_of(lambda: check_device(device))
    goals: list[tuple[Place, Store | None]] = []
    faults += faults_of(lambda: goals.append(goal(store, out, kind)))
    found: list[pd.DataFrame] = []
    folders: list[Path] = []
    faults += faults_of(lambda: found.append(rows_of(run, source, frames, axis)))
    faults += faults_of(lambda: folders.append(weights.find(run, ("embed", "finetune", "pretrain"))))
    raise_faults(faults)
    chosen, place = goals[0][1], goals[0][0]
    if chosen is not None:
        return stored(folders[0], source, found[0], kind, device, chosen)
    assert isinstance(place, Path), "a URL is a store"
    with locks.held(place / locks.NAME, f"the gallery '{place}'"):
        tidy(place, held=True)
        check_new(place)
        made = embedded(folders[0], source, found[0], kind, device)
        made.save(place)
    return made


def goal(store: str | StoreUrl, out: Path | None, kind: str) -> tuple[Place, Store | None]:
    """Where a new gallery goes, and its store; None for a folder of its own files.

    Raises
    ------
    RequestError
        No such store or kind, its package is missing, or the folder holds something.
    """
    place, chosen = words.target(store, out)
    if chosen is None:
        faults = faults_of(lambda: check_kind(kind))
    else:
        faults = faults_of(lambda: check_store_kind(chosen.kind_of_store, kind))
    if isinstance(place, Path):
        faults += faults_of(lambda: check_new(place, unfinished=chosen is not None))
    raise_faults(faults)
    return place, chosen


def convert(source: str | Place, out: Path | None, *, store: str | StoreUrl = "folder", kind: str = "auto") -> Searched:
    """Copy a gallery to another place: from a folder into a store, from a store into a folder, or between stores.

    Raises
    ------
    RequestError
        There is no gallery; or as of `index`.
    """
    goals: list[tuple[Place, Store | None]] = []
    loaded: list[Searched] = []
    faults = faults_of(lambda: goals.append(goal(store, out, kind)))
    faults += faults_of(lambda: loaded.append(open_gallery(source)))
    raise_faults(faults)
    place, chosen = goals[0]
    terminal.stage("copying the gallery")
    return converted(loaded[0], place if isinstance(place, Path) else None, chosen, kind)


def check_new(out: Path, *, unfinished: bool = False) -> None:
    """Refuse a folder with anything in it but what a killed process left half-written.

    Parameters
    ----------
    unfinished : bool
        Whether an unfinished gallery of Lance files is gone on with.

    Raises
    ------
    RequestError
        It is a file, holds something, or another process is making a gallery in it.
    """
    locks.refuse_held(out / locks.NAME, f"the gallery '{out}'")
    if out.is_dir():
        complete(out)
    left: tuple[str, ...] = (PARTIAL, locks.NAME, ENCODER)  # an encoder alone: a gallery that was never finished
    left += (FILLING, DATA) if unfinished and (out / FILLING).is_file() else ()
    if out.is_file() or (out.is_dir() and any(not item.name.endswith(left) for item in out.iterdir())):
        raise RequestError(f"--out {out}: is there already and is not empty; name another folder, or remove it")


def embedded(folder: Path, source: str, rows: pd.DataFrame, kind: str, device: str) -> Gallery:
    """The gallery of `rows`, by the model in `folder`."""
    model, vectors = _ready(folder, source, rows, device)
    if vectors is None:
        vectors = model.embed([Path(root) / path for root, path in zip(rows["root"], rows["path"], strict=True)])
        warn_of_squeezed(model.squeezed, len(rows))
    terminal.stage("building the index")
    return Gallery.build(
        vectors, rows, model.digest, kind=kind, preprocessing=model.preprocessing, made_by=str(folder.resolve())
    )


def stored(folder: Path, source: str, rows: pd.DataFrame, kind: str, device: str, store: Store) -> StoreGallery:
    """The gallery of `rows` in a store, by the model in `folder`: embedded and written a block at a time."""
    model, vectors = _ready(folder, source, rows, device)

    def some(first: int, end: int) -> NDArray[np.float32]:
        if vectors is not None:
            return vectors[first:end]
        part = rows.iloc[first:end]
        return model.embed([Path(root) / path for root, path in zip(part["root"], part["path"], strict=True)])

    about = About(model.digest, model.preprocessing, str(folder.resolve()), kind)  # type: ignore[arg-type]
    record = fill(store, about, model.size, rows, some, together=1)  # vectors cost the most: a kill loses one block
    warn_of_squeezed(model.squeezed, len(rows))
    return StoreGallery(store, record)


def _ready(
    folder: Path, source: str, rows: pd.DataFrame, device: str
) -> tuple[EmbeddingModel, NDArray[np.float32] | None]:
    """The model, and the vectors of the rows where the run's evaluation left them."""
    terminal.stage("loading the model")
    model = EmbeddingModel.load(folder, device, "auto")
    terminal.stage("encoding the images")
    return model, recorded_vectors(folder, model, rows) if source == "train" else None


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
