"""From a place on the disk to the application with the page."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.explore import routes
from contrastive_cxr.explore.answers import Explorer
from contrastive_cxr.explore.computed import computed, pictures_of
from contrastive_cxr.explore.opened import opened
from contrastive_cxr.server.access import Access
from contrastive_cxr.server.app import build
from contrastive_cxr.server.limits import Limits


def explorer(place: Path, gallery: Place | None, run: Path | None, device: str, predict: bool) -> Explorer:
    """What the page is served from; computed now, or read as it was kept beside the gallery.

    Raises
    ------
    RequestError
        As in `opened.opened` and `computed.computed`.
    """
    loaded, folder = opened(place, gallery=gallery, run=run, device=device)
    pictures = pictures_of(loaded)
    return Explorer(
        loaded, computed(loaded, folder, pictures, predict), pictures, Path(str(gallery or place)).resolve().name
    )


def application(
    place: Path, gallery: Place | None, run: Path | None, device: str, predict: bool, limits: Limits, access: Access
) -> FastAPI:
    """The application of `ccxr serve` with the page and its addresses."""
    return around(explorer(place, gallery, run, device, predict), limits, access)


def around(found: Explorer, limits: Limits | None = None, access: Access | None = None) -> FastAPI:
    """The application around what was opened."""
    app = build(found.loaded, limits, access, [routes.router], routes.OPEN)
    app.state.explorer = found
    return app
