"""Similar cases of some images in a gallery: who they are, how near, how unusual that is, and where they look alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from contrastive_cxr import explain as maps
from contrastive_cxr import terminal
from contrastive_cxr.data.files.addresses import of_path
from contrastive_cxr.data.files.store_urls import Place, place_of
from contrastive_cxr.errors import CcxrError, RequestError, raise_faults
from contrastive_cxr.inference.explain import plane
from contrastive_cxr.inference.explain_checks import read
from contrastive_cxr.inference.gallery import ENCODER
from contrastive_cxr.inference.given_images import Frames, images_of, warn_of_squeezed
from contrastive_cxr.inference.predict import check_device, refuse_existing
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe.schema import AxisName
from contrastive_cxr.report.pages import search_page
from contrastive_cxr.retrieval import EmbeddingModel, Searched, open_gallery
from contrastive_cxr.retrieval.result import agreement
from contrastive_cxr.run import folder as folders

UNFAMILIAR = 99.0
MAPS = 10  # neighbours of an image that get maps: two passes each
NO_IMAGE = "No map: the image cannot be read here."
FAR = f"No map: only the nearest {MAPS} neighbours have one, since each takes two passes of the network."
EVEN = "No map: the likeness is spread evenly, and no place stands out."
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SearchRequest:
    """What is searched with: the images, their vectors, and what is left out for each.

    `patients` says whose rows are left out, one an image; empty: of an image in the gallery those of its patient.
    """

    gallery: Searched
    model: EmbeddingModel
    files: list[Path]
    vectors: Floats
    threshold: float
    patients: tuple[str, ...] = ()


def search(
    gallery: str | Place,
    images: Sequence[Path],
    *,
    run: Path | None = None,
    k: int = 5,
    where: Mapping[str, Sequence[str]] | None = None,
    html: Path | None = None,
    unfamiliar: float = UNFAMILIAR,
    verify: bool = False,
    trust_index: bool = False,
    device: str = "cpu",
    frames: Frames = None,
    axis: AxisName = "axial",
) -> dict[str, Any]:
    """Find the nearest cases of each image, and write a page that shows them.

    An image that is in the gallery itself is not its own neighbour, nor are others of its patient.

    Parameters
    ----------
    gallery : str, Path or StoreUrl
        Folder that `ccxr index` wrote, or the URL of a gallery in PostgreSQL.
    images : sequence of Path
        Image files, or folders, archives or URLs of them.
    run : Path, optional
        Run or phase folder whose model embeds the images; none: the one that the gallery was made by.
    k : int
        Neighbours an image.
    where : mapping, optional
        Only rows with one of these values in these columns.
    html : Path, optional
        File for the page.
    unfamiliar : float
        An image is called unfamiliar where its nearest case is further away than those of this share (percent) of
        the gallery's own.
    verify, trust_index : as in `Gallery.load`
    device : str
        auto (a GPU where there is one), cpu or cuda.
    frames, axis : as in `given.images_of`

    Returns
    -------
    dict
        `queries`, an entry an image (docs/reference/retrieval.md), and what the gallery says of itself.

    Raises
    ------
    RequestError
        With every fault: no gallery, no model or another one, images that cannot be read, a column that is not there.
    """
    terminal.stage("reading the gallery")
    faults = [*faults_of(lambda: check_device(device))]
    faults += [] if k >= 1 else [f"-k {k}: give at least 1"]
    faults += [] if 0 < unfamiliar < 100 else [f"--unfamiliar {unfamiliar:g}: give percent between 0 and 100"]
    faults += [] if html is None else faults_of(lambda: refuse_existing(html, ".html"))
    files: list[Path] = []
    for place in images:
        faults += faults_of(lambda place=place: files.extend(images_of(place, frames, axis)))  # type: ignore[misc]
    loaded: list[Searched] = []
    lies = place_of(gallery)
    faults += faults_of(lambda: loaded.append(open_gallery(lies, verify=verify, trust_index=trust_index)))
    raise_faults(faults)
    held = loaded[0]
    terminal.stage("loading the model")
    model = model_of(held, lies, run, device)
    terminal.stage("encoding the images")
    asked = SearchRequest(held, model, files, model.embed(files), unfamiliar)
    warn_of_squeezed(model.squeezed, len(files))
    terminal.stage("searching")
    facts = facts_of(asked, k, where or {}) | {"gallery": str(lies)}
    if html is not None:
        terminal.stage("drawing the page")
        pictures, reasons = drawn(asked, facts["queries"])
        folders.write_text(html, search_page.page(facts, pictures, reasons))
    return facts


def model_of(gallery: Searched, folder: Place, run: Path | None, device: str) -> EmbeddingModel:
    """The gallery's model, from `run` or from where it was when the gallery was made."""
    place = run if run is not None else Path(gallery.about.made_by) if gallery.about.made_by else None
    if place is None:
        raise RequestError(f"{folder} does not say which model made it; name its run with --run")
    beside = folder / ENCODER if isinstance(folder, Path) else None
    if run is None and beside is not None and not place.is_dir() and beside.is_dir():
        place = beside  # the gallery has moved, its encoder with it
    if run is None and not place.is_dir():
        raise RequestError(f"{folder} was made by the model in {place}, which is gone; name its run with --run")
    model = EmbeddingModel.load(place, device)
    gallery.check_model(model.digest, model.preprocessing)
    return model


def facts_of(asked: SearchRequest, k: int, where: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What was found, as plain values."""
    gallery = asked.gallery
    own = gallery.at_files([of_path(file) for file in asked.files])
    inside = [row for row in own if row is not None]
    whose = dict(zip(inside, gallery.take(inside)["patient"] if inside else (), strict=True))
    patients = list(asked.patients) or ["" if row is None else str(whose[row]) for row in own]
    found = gallery.search(asked.vectors, k + 1, patients, where=where or None)
    queries = []
    for number, (file, row) in enumerate(zip(asked.files, own, strict=True)):
        near = found.of(number)
        near = near[near["position"] != row].head(k)
        queries.append(query_of(asked, file, row is not None, near, k))
    return {
        "version": 1,
        "rows": len(gallery),
        "kind": gallery.about.kind,
        "recall": None if gallery.recall is None else gallery.recall.model_dump(),
        "model": gallery.model_digest,
        "k": k,
        "where": {name: list(values) for name, values in where.items()},
        "threshold": asked.threshold,
        "familiar_n": gallery.familiar.n if gallery.familiar else 0,
        "queries": queries,
        "notes": [],
    }


def query_of(asked: SearchRequest, file: Path, inside: bool, near: pd.DataFrame, k: int) -> dict[str, Any]:
    """The entry of one image."""
    said, familiar = agreement(near), asked.gallery.familiar
    percentile = None
    if familiar is not None and len(near):
        percentile = float(familiar.percentile(near["distance"].to_numpy()[:1])[0])
    places = files_of(asked.gallery.take(near["position"].to_numpy()))
    few = f"{len(near)} of the {k} neighbours asked for: the gallery has no more that may be found"
    return {
        "file": of_path(file),
        "inside": inside,
        "neighbours": [
            {**line, "file": of_path(place)} for line, place in zip(near.to_dict(orient="records"), places, strict=True)
        ],
        "agreement": {"label": said.label, "votes": said.votes, "of": said.of},
        "percentile": percentile,
        "unfamiliar": percentile is not None and percentile > asked.threshold,
        "words": few if len(near) < k else "",
    }  # fmt: skip


def files_of(rows: pd.DataFrame) -> list[Path]:
    """Where the gallery's images were."""
    roots = rows["root"] if "root" in rows else [""] * len(rows)
    return [Path(root) / path for root, path in zip(roots, rows["path"], strict=True)]


def drawn(asked: SearchRequest, queries: Sequence[Mapping[str, Any]]) -> tuple[dict[str, bytes], dict[str, str]]:
    """The page's pictures, PNG, and the reasons for those that are missing, both by what `search_page` names them.

    A map is a transparent layer (RGBA), which the page lays over the image.
    """
    pictures: dict[str, bytes] = {}
    reasons: dict[str, str] = {}
    for number, query in enumerate(queries):
        asked_for = Path(query["file"])
        files = {None: asked_for} | {place: Path(near["file"]) for place, near in enumerate(query["neighbours"])}
        there, faults = read(asked.model, list(files.values()))  # the gallery's images may be gone since
        for place, file in files.items():
            if file in there:
                pictures[search_page.name(number, place)] = maps.grey(plane(there[file]))
            else:
                reasons[search_page.name(number, place)] = f"Not shown. {faults[file]}."
        for place, near in enumerate(query["neighbours"]):
            near_vector = asked.gallery.take_vectors([near["position"]])[0]
            for side, file, vector in (
                ("toward", asked_for, near_vector), ("back", files[place], asked.vectors[number])
            ):  # fmt: skip
                found = FAR if place >= MAPS else layer_of(asked.model, there.get(file), vector)
                key = search_page.name(number, place, side)
                if isinstance(found, str):
                    reasons[key] = found
                else:
                    pictures[key] = found
    return pictures, reasons


def layer_of(model: EmbeddingModel, image: torch.Tensor | None, vector: Floats) -> bytes | str:
    """What in the image is like the other image's vector, above the map's own median; or why there is no map."""
    if image is None:
        return NO_IMAGE
    try:
        found = maps.similarity(model.network, image, torch.from_numpy(np.array(vector)).to(model.device))
    except CcxrError as error:
        return f"No map: {error}."
    over = maps.standing_out(found.values)
    return EVEN if over is None else maps.layer(over, image.shape[-1])
