"""Make a gallery from a run: of a recorded part of its own images, or of any images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from contrastive_cxr import locks, terminal
from contrastive_cxr.data.files.addresses import of_path
from contrastive_cxr.data.files.store_urls import Place, StoreUrl
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.files import PARTIAL, complete, tidy
from contrastive_cxr.inference.gallery_rows import recorded_vectors, rows_of
from contrastive_cxr.inference.given_images import Frames, warn_of_squeezed
from contrastive_cxr.inference.predict import check_device
from contrastive_cxr.models import weights
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe.schema import AxisName
from contrastive_cxr.retrieval import EmbeddingModel, Gallery, Searched, StoreGallery, open_gallery
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.index import check_kind
from contrastive_cxr.retrieval.stores import words
from contrastive_cxr.retrieval.stores.convert import converted
from contrastive_cxr.retrieval.stores.filling import Some, fill
from contrastive_cxr.retrieval.stores.lance_store import DATA, FILLING
from contrastive_cxr.retrieval.stores.record import check_kind as check_store_kind
from contrastive_cxr.retrieval.stores.store import Store
from contrastive_cxr.spread import Engine

EMBEDDED = Engine()
ENCODER = "encoder"
"""Folder of the frozen encoder in a gallery that no run made."""


def index(
    run: Path, source: str, out: Path | None, *, store: str | StoreUrl = "folder", kind: str = "auto",
    device: str = "cpu", frames: Frames = None, axis: AxisName = "axial", engine: Engine = EMBEDDED,
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
    engine : Engine
        Of Ray: workers decode and encode, and their vectors stay in `OUT.parts` until the gallery is written.

    Raises
    ------
    RequestError
        With every fault: no run, no such part or source, unreadable images, `out` is there already or being made, a
        package is missing, a server does not answer.
    """
    faults = [] if engine.is_ray else faults_of(lambda: check_device(device))
    goals: list[tuple[Place, Store | None]] = []
    faults += faults_of(lambda: goals.append(goal(store, out, kind)))
    if engine.is_ray and out is None:
        faults.append(
            "--engine ray: keeps vectors in a folder beside --out until the gallery is written; give --out, and copy "
            "the gallery to a URL with --from-gallery"
        )
    found: list[pd.DataFrame] = []
    folders: list[Path] = []
    faults += faults_of(lambda: found.append(rows_of(run, source, frames, axis)))
    faults += faults_of(lambda: folders.append(weights.find(run, ("embed", "finetune", "pretrain"))))
    raise_faults(faults)
    place, chosen = goals[0]
    making = Making(folders[0], source, found[0], device, engine, out)
    if chosen is not None:
        made: Searched = stored(making, kind, chosen)
    else:
        assert isinstance(place, Path), "a URL is a store"
        with locks.held(place / locks.NAME, f"the gallery '{place}'"):
            tidy(place, held=True)
            check_new(place)
            whole = embedded(making, kind)
            whole.save(place)
        made = whole
    making.forget_parts()
    return made


@dataclass(frozen=True)
class Making:
    """The vectors of a new gallery.

    Attributes
    ----------
    folder : Path
        Of the model.
    source : str
    rows : DataFrame [N]
        Of `source`: `root` and `path` say where the images are.
    device : str
    engine : Engine
    out : Path or None
        The new folder; of Ray's engine never None.
    """

    folder: Path
    source: str
    rows: pd.DataFrame
    device: str
    engine: Engine
    out: Path | None

    def vectors(self) -> tuple[EmbeddingModel, Some]:
        """The model, and what gives the vectors of rows `first` to `end - 1`: float32 [end - first, D].

        They are those of the run's evaluation where these are still there; else of Ray's workers, which compute all of
        them now and leave them in files; else computed when they are asked for.
        """
        terminal.stage("loading the model")
        model = EmbeddingModel.load(self.folder, "cpu" if self.engine.is_ray else self.device, "auto")
        known = recorded_vectors(self.folder, model, self.rows) if self.source == "train" else None
        if known is not None:
            return model, lambda first, end: known[first:end]
        paths = [Path(root) / path for root, path in zip(self.rows["root"], self.rows["path"], strict=True)]
        if not self.engine.is_ray:
            terminal.stage("encoding the images")
            return model, lambda first, end: model.embed(paths[first:end])
        from contrastive_cxr.inference import spread_encode

        assert self.out is not None, "refused before"
        files = [of_path(path) for path in paths]
        return model, spread_encode.vectors(self.engine, model, files, self.out, self.device)

    def forget_parts(self) -> None:
        """Remove the files of Ray's workers, once the gallery is written."""
        if self.engine.is_ray and self.out is not None:
            from contrastive_cxr.inference import spread_parts

            spread_parts.drop_working(spread_parts.working(self.out))


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


def embedded(making: Making, kind: str) -> Gallery:
    """The gallery in memory."""
    model, some = making.vectors()
    vectors = some(0, len(making.rows))
    warn_of_squeezed(model.squeezed, len(making.rows))
    terminal.stage("building the index")
    by = str(making.folder.resolve())
    return Gallery.build(vectors, making.rows, model.digest, kind=kind, preprocessing=model.preprocessing, made_by=by)


def stored(making: Making, kind: str, store: Store) -> StoreGallery:
    """The gallery in a store: embedded and written a block at a time."""
    model, some = making.vectors()
    about = About(model.digest, model.preprocessing, str(making.folder.resolve()), kind)  # type: ignore[arg-type]
    record = fill(
        store, about, model.size, making.rows, some, together=1
    )  # vectors cost the most: a kill loses one block
    warn_of_squeezed(model.squeezed, len(making.rows))
    return StoreGallery(store, record)
