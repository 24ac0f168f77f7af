"""The page's addresses, on top of those of `ccxr serve`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from contrastive_cxr import html_templates
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.errors import RequestError
from contrastive_cxr.explore import marks
from contrastive_cxr.explore.answers import Explorer, in_text
from contrastive_cxr.explore.computed import read_case
from contrastive_cxr.inference import loaded_answers
from contrastive_cxr.inference.loaded_answers import SearchOptions
from contrastive_cxr.inference.loaded_maps import explained
from contrastive_cxr.server.refusals import Refusal
from contrastive_cxr.server.service import Service, while_listening

router = APIRouter(include_in_schema=False)
OPEN = ("/", "/explore.css", "/explore.js")
"""Addresses without a word of the user's data, which a browser gets before it can send a token."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAPS = 2
"""Nearest cases with a similarity map; each takes two passes of the network."""
_PAGE = Path(str(files("contrastive_cxr.explore") / "page"))


def explorer_of(request: Request) -> Explorer:
    """What the page is served from."""
    found: Explorer = request.app.state.explorer
    return found


@functools.cache
def drawn(name: str) -> str:
    """A template of the page."""
    return html_templates.environment(_PAGE).get_template(name).render()


@router.get("/")
async def page(request: Request) -> Response:
    """The page."""
    return Response(drawn("index.html.j2"), media_type="text/html", headers={"Content-Security-Policy": POLICY})


@router.get("/explore.css")
async def style(request: Request) -> Response:
    """Its style."""
    return Response(drawn("explore.css.j2"), media_type="text/css")


@router.get("/explore.js")
async def script(request: Request) -> Response:
    """Its script, which is built from page/source."""
    return Response((_PAGE / "explore.js").read_bytes(), media_type="text/javascript")


@router.get("/explore/places")
async def places(request: Request) -> Response:
    """Places of the cases, float32 [M, 2]."""
    return Response(explorer_of(request).places, media_type="application/octet-stream")


@router.get("/explore/table")
async def table(request: Request) -> Response:
    """Columns and lists."""
    return Response(explorer_of(request).payload, media_type="application/json")


@router.get("/explore/small/{row}")
async def small(request: Request, row: int) -> Response:
    """The small picture of a case."""
    return await _picture(request, row, explorer_of(request).pictures.small, "image/jpeg")


@router.get("/explore/large/{row}")
async def large(request: Request, row: int) -> Response:
    """The large picture of a case."""
    return await _picture(request, row, explorer_of(request).pictures.large, "image/png")


@router.get("/explore/case/{row}")
async def case(request: Request, row: int) -> dict[str, Any]:
    """The prediction of a case, made now, and its nearest cases; `words` says why there is no prediction."""
    explorer, service = explorer_of(request), request.app.state.service
    said: dict[str, Any] = {"row": row, "prediction": None, "words": "The run has no classifier."}
    said["near"] = explorer.near(_checked(explorer, row))
    if explorer.loaded.classifiers:
        try:
            picture = await _in_thread(service, read_case, explorer.loaded, explorer.pictures.files[row])
        except DecodeError as error:
            return said | {"words": f"The image cannot be read: {error.reason}."}

        def then(found: Any) -> Any:
            return loaded_answers.predictions(explorer.loaded, found)

        work = service.batcher.submit("probabilities", [picture], then)
        told = await while_listening(request, _within(service, work))
        said |= {"prediction": told[0], "words": ""}
    return said


@router.get("/explore/maps/{row}")
async def maps(request: Request, row: int) -> dict[str, Any]:
    """Grad-CAM of a case, and where it is like its nearest cases; PNG in base64."""
    explorer, service = explorer_of(request), request.app.state.service
    file = explorer.pictures.files[_checked(explorer, row)]
    try:
        picture = await _in_thread(service, read_case, explorer.loaded, file)
    except DecodeError as error:
        raise Refusal("unreadable-image", f"The image cannot be read: {error.reason}.") from error
    options = SearchOptions(MAPS, patient=str(explorer.cases["patient"].iloc[row]))

    def then(items: Any) -> Any:
        return explained(explorer.loaded, items[0], None, options)

    told = await while_listening(request, _within(service, service.batcher.submit("", [picture], then)))
    gradcam = None if told["gradcam"] is None else in_text([told["gradcam"]])[0]
    return {"image": in_text([{"png": told["image"]}])[0]["png"], "gradcam": gradcam,
            "similarity": in_text(told["similarity"])}  # fmt: skip


@router.post("/explore/marks.csv")
async def marked(request: Request, given: marks.Marks) -> Response:
    """The marks as a table."""
    explorer = explorer_of(request)
    try:
        content = marks.csv(explorer.gallery.rows, explorer.pictures.files, given.marks)
    except RequestError as error:
        raise Refusal("invalid-parameter", *error.faults) from error
    headers = {"Content-Disposition": 'attachment; filename="marks.csv"'}
    return Response(content, media_type="text/csv", headers=headers)


async def _picture(request: Request, row: int, make: Callable[[int], bytes], kind: str) -> Response:
    _checked(explorer_of(request), row)
    try:
        content = await _in_thread(request.app.state.service, make, row)
    except DecodeError as error:
        raise Refusal("unreadable-image", f"The image of case {row} cannot be read: {error.reason}.") from error
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=600"})


async def _in_thread(service: Service, work: Callable[..., Any], *given: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(service.decoders, work, *given)


async def _within(service: Service, work: Any) -> Any:
    try:
        async with asyncio.timeout(service.limits.answer_seconds):
            return await work
    except TimeoutError as error:
        raise Refusal("timeout", f"The answer took more than {service.limits.answer_seconds:g} s.") from error


def _checked(explorer: Explorer, row: int) -> int:
    if not 0 <= row < len(explorer.gallery):
        raise Refusal("invalid-parameter", f"row={row}: the gallery has {len(explorer.gallery)} cases, from 0.")
    return row
