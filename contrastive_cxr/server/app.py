"""The ASGI application."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from contrastive_cxr import __version__
from contrastive_cxr.inference.loaded import LoadedModels
from contrastive_cxr.server import answers, endpoints
from contrastive_cxr.server.access import Access
from contrastive_cxr.server.guard import Guard
from contrastive_cxr.server.limits import Limits
from contrastive_cxr.server.rate import Rate
from contrastive_cxr.server.refusals import Refusal, of_status
from contrastive_cxr.server.service import Service

logger = logging.getLogger(__name__)
STUCK_SECONDS = 120.0
"""A batch that takes longer says that the model's thread hangs."""
router = APIRouter()


def build(
    loaded: LoadedModels, limits: Limits | None = None, access: Access | None = None, routers: Sequence[APIRouter] = (),
    free: Sequence[str] = (),
) -> FastAPI:  # fmt: skip
    """The application that answers from loaded models.

    Parameters
    ----------
    loaded : LoadedModels
    limits : Limits, optional
    access : Access, optional
        None: no token is wanted and any host name is taken; for tests, and behind a guard of your own.
    routers : sequence of APIRouter
        Further addresses; they pass the same guard, and find the models at `request.app.state.service`.
    free : sequence of str
        Addresses of theirs that need no token, since they tell nothing.

    Raises
    ------
    RequestError
        Limits that let nothing through.
    """
    limits = limits or Limits()
    limits.check()
    service = Service(loaded, limits)

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()

    app = FastAPI(
        title="ccxr serve",
        version=__version__,
        summary="Predictions, embeddings, similar cases and maps of chest images. For research; no medical device.",
        lifespan=living,
        docs_url=None,  # the pages that show the schema load scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    for each in (router, endpoints.router, *routers):
        app.include_router(each)
    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, refused)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, refused)
    app.add_middleware(
        Guard,
        access=access or Access(),
        rate=Rate(limits.rate, limits.burst),
        metrics=service.metrics,
        paths=lambda: set(app.openapi()["paths"]),
        free=free,
    )
    return app


async def refused(request: Request, error: Exception) -> Response:
    """The answer to every error, in its one shape."""
    number = request.scope.get("state", {}).get("number", "")
    if isinstance(error, Refusal):
        refusal = error
    elif isinstance(error, RequestValidationError):
        refusal = Refusal("invalid-parameter", *map(fault_of, error.errors()))
    elif isinstance(error, HTTPException):
        refusal = Refusal(of_status(error.status_code))
    else:
        logger.error("request %s failed: %s: %s", number, type(error).__name__, error)
        refusal = Refusal("internal-error")
    return refusal.response(number)


def fault_of(error: dict[str, Any]) -> str:
    """A sentence of one of pydantic's errors."""
    name = ".".join(map(str, error["loc"][1:]))
    return f"{name}={str(error.get('input', ''))[:80]}: {error['msg']}."


@router.get("/health", responses={503: {"description": "It does not work, or ends."}})
async def health(request: Request) -> answers.Health:
    """Whether the server works; needs no token."""
    service = endpoints.service_of(request)
    if service.doors.closing:
        raise Refusal("stopping", retry=5)
    if not service.batcher.alive or service.batcher.busy_seconds() > STUCK_SECONDS:
        raise Refusal("busy", "The thread of the model has ended or hangs; start the server again.", retry=30)
    return answers.Health(status="ok")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """What was counted, for Prometheus."""
    return Response(endpoints.service_of(request).metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/about")
async def about(request: Request) -> answers.About:
    """What this server answers, with which models, within which limits."""
    service = endpoints.service_of(request)
    loaded = service.loaded
    gallery = loaded.gallery
    return answers.About(
        version=__version__,
        answers=service.answers,
        classes=list(loaded.classes),
        models=[model.digest for model in loaded.classifiers],
        embedding=None if loaded.embedder is None else loaded.embedder.digest,
        size=None if loaded.embedder is None else loaded.embedder.size,
        gallery=None
        if gallery is None
        else answers.GalleryFacts(rows=len(gallery), kind=gallery.about.kind, columns=list(gallery.columns)),
        limits=dataclasses.asdict(service.limits),
    )
