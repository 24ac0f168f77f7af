"""Search the images of a DICOMweb study in a gallery, and write what was found as DICOM."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contrastive_cxr import __version__, terminal
from contrastive_cxr.data.decoding.decode import DecodeError
from contrastive_cxr.data.files.addresses import of_path, split
from contrastive_cxr.data.files.store_urls import Place, place_of
from contrastive_cxr.dicomweb import objects, picture, report
from contrastive_cxr.dicomweb.patients import own_patients
from contrastive_cxr.dicomweb.request import StudyRequest
from contrastive_cxr.dicomweb.server import Server
from contrastive_cxr.dicomweb.study import Fetched, Instance, fetch
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.files import write_bytes
from contrastive_cxr.inference import loaded_answers
from contrastive_cxr.inference.given_images import Frames, images_of
from contrastive_cxr.inference.loaded import LoadedModels, load
from contrastive_cxr.inference.predict import check_device, refuse_existing
from contrastive_cxr.inference.search import UNFAMILIAR, SearchRequest, drawn, facts_of
from contrastive_cxr.preflight.data_checks import faults_of
from contrastive_cxr.recipe.schema import AxisName
from contrastive_cxr.report.pages import search_page
from contrastive_cxr.retrieval.opened import is_gallery
from contrastive_cxr.run import folder as folders

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchSettings:
    """How is searched: the options of `inference.search`, of the same names."""

    k: int = 5
    where: Mapping[str, Sequence[str]] | None = None
    html: Path | None = None
    run: Path | None = None
    unfamiliar: float = UNFAMILIAR
    verify: bool = False
    trust_index: bool = False
    device: str = "cpu"
    frames: Frames = None
    axis: AxisName = "axial"


def search_study(gallery: str | Place, request: StudyRequest, settings: SearchSettings | None = None) -> dict[str, Any]:
    """Find the nearest cases of each image of a study on a server.

    The images lie in a temporary folder while they are searched, and nowhere afterwards.

    Parameters
    ----------
    gallery : str, Path or StoreUrl
        Folder that `ccxr index` wrote.
    request : StudyRequest
        Which study, and what is written; checked by `request.faults_in`.
    settings : SearchSettings, optional

    Returns
    -------
    dict
        As of `inference.search.search`, with `file` the SOP Instance UID; also `prediction` of each query, `dicom`
        (the files that were written) and `stored` (SOP Instance UIDs that the server took).

    Raises
    ------
    RequestError
        With every fault: as of `inference.search.search` and of `study.fetch`.
    CcxrError
        The server does not store the result.
    """
    chosen = settings or SearchSettings()
    _warn_of_clear_text(request)
    terminal.stage("asking the server")
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="ccxr-dicomweb-") as folder:
        warnings.filterwarnings("ignore", module=r"pydicom|highdicom|dicomweb_client")  # they repeat values of patients
        faults = _faults_of(chosen)
        server = Server(request.url, request.login)
        fetched: list[Fetched] = []
        faults += faults_of(lambda: fetched.append(fetch(server, request, Path(folder))))
        terminal.stage("loading the models")
        models: list[LoadedModels] = []
        place = place_of(gallery)
        faults += faults_of(lambda: models.append(_loaded(place, chosen)))
        raise_faults(faults)
        facts, made = _searched(fetched[0], models[0], request, chosen)
    facts["gallery"] = str(place)
    if chosen.html is not None:
        folders.write_text(chosen.html, search_page.page(facts, made.pictures, made.reasons))
    facts["dicom"] = _written(made.objects, request)
    facts["stored"] = []
    if request.store:
        terminal.stage("storing")
        server.store(request.study, list(made.objects.values()))
        facts["stored"] = [str(each.SOPInstanceUID) for each in made.objects.values()]
    return facts


@dataclass(frozen=True)
class _Made:
    """Pictures and reasons as of `inference.search.drawn`, and {file name: DICOM object}."""

    pictures: dict[str, bytes]
    reasons: dict[str, str]
    objects: dict[str, Any]


def _searched(
    fetched: Fetched, models: LoadedModels, request: StudyRequest, chosen: SearchSettings
) -> tuple[dict[str, Any], _Made]:
    """The facts, and everything that is drawn or written of them."""
    embedder, gallery = models.embedder, models.gallery
    assert embedder is not None, "a gallery has its model"
    assert gallery is not None, "a gallery was loaded"
    terminal.stage("encoding the images")
    places, pictures = _read(fetched.images, models, chosen)
    patients, note = own_patients([image for _, image in places], gallery)
    files = [file for file, _ in places]
    asked = SearchRequest(
        gallery, embedder, files, loaded_answers.vectors(models, pictures), chosen.unfamiliar, tuple(patients)
    )
    terminal.stage("searching")
    facts = facts_of(asked, chosen.k, chosen.where or {})
    facts["notes"] += [each for each in (fetched.note, note) if each]
    shown: dict[str, bytes] = {}
    reasons: dict[str, str] = {}
    if chosen.html is not None or request.captures:
        terminal.stage("drawing the maps")
        shown, reasons = drawn(asked, facts["queries"])
    told: list[Any] = [None] * len(pictures)
    if models.classifiers:
        told = loaded_answers.predictions(models, loaded_answers.probabilities(models, pictures))
    queries = []
    for (file, image), entry, prediction in zip(places, facts["queries"], told, strict=True):
        inside = split(of_path(file))[1]
        entry["file"] = image.name + (f"#frame={inside.number}" if inside else "")
        entry["prediction"] = prediction
        queries.append(objects.Query(image, inside.number + 1 if inside else None, entry, prediction))
    made = _maker(models, facts)
    sheets = [
        picture.composed(number, query.found, shown, reasons, made.digest)
        for number, query in enumerate(queries)
        if request.captures
    ]
    return facts, _Made(shown, reasons, _objects(queries, sheets, made, request))


def _objects(
    queries: Sequence[objects.Query], sheets: Sequence[Any], made: objects.Maker, request: StudyRequest
) -> dict[str, Any]:
    """{file name: DICOM object}.

    Raises
    ------
    RequestError
        The headers of the study hold values that no new object can have.
    """
    try:
        found: dict[str, Any] = {"report.dcm": report.report(queries, made)} if request.reports else {}
        for number, one in enumerate(objects.captures(queries, sheets, made) if sheets else [], 1):
            found[f"capture-{number:04d}.dcm"] = one
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise RequestError(
            f"--study {request.study}: highdicom refuses a value of the study's headers ({type(error).__name__}), so "
            "nothing can be written for it; search it without --dicom-out and --store"
        ) from error
    return found


def _read(
    images: Sequence[Instance], models: LoadedModels, chosen: SearchSettings
) -> tuple[list[tuple[Path, Instance]], list[Any]]:
    """The address of each picture with its instance, and the pictures decoded; every fault at once, by instance."""
    places: list[tuple[Path, Instance]] = []
    pictures: list[Any] = []
    faults: list[str] = []
    for image in images:
        try:
            addresses = images_of(image.file, chosen.frames, chosen.axis)
            content = image.file.read_bytes()
            for place in addresses:
                inside = split(of_path(place))[1]
                number = inside.number if inside else None
                pictures.append(models.read(content, image.name, ("embed", "predict"), number))
                places.append((place, image))
        except DecodeError as error:
            faults.append(f"instance {image.name}: {error.reason}")
        except RequestError as error:
            faults += [each.replace(str(image.file), f"instance {image.name}") for each in error.faults]
    raise_faults(faults)
    return places, pictures


def _maker(models: LoadedModels, facts: Mapping[str, Any]) -> objects.Maker:
    """What made the result; of filters the columns alone are told, since a value may be a patient."""
    assert models.embedder is not None, "a gallery has its model"
    words = [
        f"embedding model: SHA-256 {models.embedder.digest}",
        *(f"classifier: SHA-256 {each.digest}" for each in models.classifiers),
        f"gallery: {facts['rows']} rows, {facts['kind']}",
        f"neighbours: {facts['k']}",
        f"unfamiliar above percentile: {facts['threshold']:g}",
        *(f"filtered by the column: {name}" for name in facts["where"]),
        f"contrastive_cxr {__version__}; for research, no medical device",
    ]
    return objects.Maker(models.embedder.digest, str(models.embedder.card["backbone"]), tuple(words))


def _loaded(gallery: Place, chosen: SearchSettings) -> LoadedModels:
    """The gallery with its models."""
    if not is_gallery(gallery):
        raise RequestError(f"{gallery}: is no gallery (no gallery.json); give a folder that ccxr index wrote")
    return load(gallery, run=chosen.run, device=chosen.device, verify=chosen.verify, trust_index=chosen.trust_index)


def _written(made: Mapping[str, Any], request: StudyRequest) -> list[str]:
    """Write the files of the objects; they are all made before the first is written."""
    if request.out is None:
        return []
    contents = {request.out / name: objects.content(one) for name, one in made.items()}
    for file, content in contents.items():
        write_bytes(file, content)
    return [str(file) for file in contents]


def _faults_of(chosen: SearchSettings) -> list[str]:
    faults = faults_of(lambda: check_device(chosen.device))
    faults += [] if chosen.k >= 1 else [f"-k {chosen.k}: give at least 1"]
    faults += (
        [] if 0 < chosen.unfamiliar < 100 else [f"--unfamiliar {chosen.unfamiliar:g}: give percent between 0 and 100"]
    )
    html = chosen.html
    return faults + ([] if html is None else faults_of(lambda: refuse_existing(html, ".html")))


def _warn_of_clear_text(request: StudyRequest) -> None:
    parts = urlsplit(request.url)
    local = (parts.hostname or "") in ("localhost", "127.0.0.1")
    if request.login and parts.scheme == "http" and not local:
        logger.warning(
            "dicomweb: the login goes to %s without encryption; use https where others share the network", request.url
        )
