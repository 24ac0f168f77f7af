"""The addresses that take images."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from contrastive_cxr.errors import nearest
from contrastive_cxr.inference import loaded_answers
from contrastive_cxr.inference.loaded import Picture
from contrastive_cxr.inference.loaded_answers import SearchOptions
from contrastive_cxr.inference.loaded_maps import explained
from contrastive_cxr.inference.search import UNFAMILIAR
from contrastive_cxr.server import answers
from contrastive_cxr.server.refusals import ErrorAnswer, Refusal
from contrastive_cxr.server.service import Service

router = APIRouter()
MOST_NEIGHBOURS, MOST_MAPS = 1000, 10
PNG = "image/png"
FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One file or several: every picture that ccxr reads (PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG "
        "2000, PNM, DICOM), known by its content.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}
REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504)
}
Frame = Annotated[int | None, Query(ge=0, le=999_999_999, description="Which picture of files with several, from 0.")]
Where = Annotated[list[str], Query(description="COLUMN=VALUE that neighbours must have; again for more of them.")]
Patient = Annotated[str, Query(max_length=255, description="A patient whose cases are left out.")]
Unfamiliar = Annotated[float, Query(gt=0, lt=100, description="Percent of the gallery's own cases that lie nearer.")]


def service_of(request: Request) -> Service:
    """The service of the application."""
    found: Service = request.app.state.service
    return found


@router.post("/predict", openapi_extra=FORM, responses=REFUSED)
async def predict(request: Request, frame: Frame = None) -> answers.PredictAnswer:
    """Class probabilities and the decision, as ccxr predict gives them."""
    service = service_of(request)
    service.need("predict")
    loaded = service.loaded

    def then(pictures: list[Picture], found: Any) -> list[dict[str, Any]]:
        told = loaded_answers.predictions(loaded, found)
        return [named(picture) | said for picture, said in zip(pictures, told, strict=True)]

    entries = await service.answered(request, ("predict",), "probabilities", then, frame)
    return answers.PredictAnswer(
        classes=list(loaded.classes),
        model=[model.digest for model in loaded.classifiers],
        images=[answers.Predicted(**entry) for entry in entries],
    )


@router.post("/embed", openapi_extra=FORM, responses=REFUSED)
async def embed(request: Request, frame: Frame = None) -> answers.EmbedAnswer:
    """Vectors of unit length, as ccxr encode writes them."""
    service = service_of(request)
    service.need("embed")
    model = service.loaded.embedder
    assert model is not None, "it was asked for"

    def then(pictures: list[Picture], found: Any) -> list[dict[str, Any]]:
        return [named(picture) | {"vector": shortest(row)} for picture, row in zip(pictures, found, strict=True)]

    entries = await service.answered(request, ("embed",), "vectors", then, frame)
    return answers.EmbedAnswer(
        model=model.digest, size=model.size, images=[answers.Embedded(**entry) for entry in entries]
    )


@router.post("/search", openapi_extra=FORM, responses=REFUSED)
async def search(
    request: Request,
    k: Annotated[int, Query(ge=1, le=MOST_NEIGHBOURS, description="Neighbours an image.")] = 5,
    where: Where = [],  # noqa: B006  # FastAPI copies it
    patient: Patient = "",
    unfamiliar: Unfamiliar = UNFAMILIAR,
    frame: Frame = None,
) -> answers.SearchAnswer:
    """The nearest cases of the gallery, as ccxr search finds them."""
    service = service_of(request)
    service.need("search")
    gallery, model = service.loaded.gallery, service.loaded.embedder
    assert gallery is not None, "it was asked for"
    assert model is not None, "a gallery has a model"
    options = SearchOptions(k, wanted(where), patient, unfamiliar)

    def then(pictures: list[Picture], found: Any) -> list[dict[str, Any]]:
        told = loaded_answers.cases(gallery, pictures, found, options)
        return [named(picture) | said for picture, said in zip(pictures, told, strict=True)]

    entries = await service.answered(request, ("embed",), "vectors", then, frame)
    return answers.SearchAnswer(
        model=model.digest,
        rows=len(gallery),
        k=k,
        where={name: list(values) for name, values in options.where.items()},
        images=[answers.Found(**entry) for entry in entries],
    )


@router.post(
    "/explain",
    openapi_extra=FORM,
    response_model=answers.ExplainAnswer,
    responses={**REFUSED, 200: {"content": {PNG: {}}, "description": "JSON; or one map as PNG, by format=png."}},
)
async def explain(
    request: Request,
    target: Annotated[str | None, Query(max_length=255, description="Class of Grad-CAM; default the decided.")] = None,
    k: Annotated[int, Query(ge=0, le=MOST_MAPS, description="Nearest cases with a similarity map.")] = 2,
    where: Where = [],  # noqa: B006  # FastAPI copies it
    patient: Patient = "",
    frame: Frame = None,
    format: Annotated[
        Literal["json", "png"], Query(description="png: of one file one map alone, Grad-CAM or the nearest case's.")
    ] = "json",
) -> Any:
    """Grad-CAM, and where an image is like its nearest cases."""
    service = service_of(request)
    service.need("explain")
    loaded = service.loaded
    if target is not None and target not in loaded.classes:
        known = ", ".join(loaded.classes) or "none, as there is no classifier"
        raise Refusal("invalid-parameter", f"target={target}: is no class{nearest(target, loaded.classes)}; {known}.")
    options = SearchOptions(k, wanted(where), patient)

    def then(picture: Picture) -> dict[str, Any]:
        return named(picture) | explained(loaded, picture, target, options)

    entries = await service.answered(request, ("predict", "embed"), "", then, frame)
    if format == "png":
        return alone(entries)
    return answers.ExplainAnswer(images=[answers.Explained(**in_text(entry)) for entry in entries])


def alone(entries: list[dict[str, Any]]) -> Response:
    """One map as a picture."""
    if len(entries) != 1:
        raise Refusal("invalid-parameter", f"format=png is for one file, and {len(entries)} were sent.")
    maps = [entry for entry in (entries[0]["gradcam"], *entries[0]["similarity"]) if entry is not None]
    drawn = [entry["png"] for entry in maps if entry["png"] is not None]
    if not drawn:
        words = maps[0]["words"] if maps else "There is no map: no classifier, and no case to compare with."
        raise Refusal("not-served", words)
    return Response(drawn[0], media_type=PNG)


def in_text(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with its pictures in base64."""
    return {
        name: base64.b64encode(value).decode()
        if isinstance(value, bytes)
        else in_text(value)
        if isinstance(value, dict)
        else [in_text(each) for each in value]
        if isinstance(value, list)
        else value
        for name, value in entry.items()
    }


def named(picture: Picture) -> dict[str, Any]:
    """What every entry says of its file."""
    return {"file": picture.name, "squeezed": picture.squeezed}


def shortest(row: Any) -> list[float]:
    """float32 numbers with the fewest digits that give them back."""
    return [float(np.format_float_positional(value, unique=True)) for value in row]


def wanted(words: list[str]) -> dict[str, list[str]]:
    """{column: values} of `COLUMN=VALUE` words; several of one column are alternatives."""
    faults = [f"where={word}: write COLUMN=VALUE, such as label=normal." for word in words if "=" not in word]
    if faults:
        raise Refusal("invalid-parameter", *faults)
    found: dict[str, list[str]] = {}
    for word in words:
        column, _, value = word.partition("=")
        found.setdefault(column.strip(), []).append(value.strip())
    return found
