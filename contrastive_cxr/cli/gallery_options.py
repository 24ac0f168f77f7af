"""The options that say where a gallery lies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from contrastive_cxr.data.files.store_urls import Place, given_place, is_store_url
from contrastive_cxr.errors import RequestError


def store_word(word: str) -> Any:
    """A word of `--store`: the URL of PostgreSQL read, other words as they are."""
    return given_place(word) if is_store_url(word) else word


def copied(source: Place, places: list[str], encoder: str | None, track: bool) -> None:
    """Refuse what does not go with `--from-gallery`."""
    given = [*places, *(["--encoder"] if encoder else []), *(["--track"] if track else [])]
    if given:
        raise RequestError(
            f"--from-gallery {source}: copies a gallery, and {', '.join(given)} is for a new one; leave it out"
        )


GalleryPlace = Annotated[
    Any,
    typer.Argument(
        metavar="GALLERY",
        parser=given_place,
        help="Folder that ccxr index wrote, or postgresql://USER@HOST/DATABASE?gallery=NAME.",
    ),
]
RunOrGallery = Annotated[
    Any,
    typer.Argument(
        metavar="RUN|GALLERY",
        parser=given_place,
        help="A run folder, or one that ccxr index wrote, or a gallery's postgresql:// URL.",
    ),
]
GalleryBeside = Annotated[
    Any, typer.Option(metavar="PATH", parser=given_place, help="Gallery beside a run.", show_default=False)
]
VotingGallery = Annotated[
    Any,
    typer.Option(
        metavar="PATH",
        parser=given_place,
        help="Score the vote of this gallery's nearest images, not the classifier.",
        show_default=False,
    ),
]
FromGallery = Annotated[
    Any,
    typer.Option(
        "--from-gallery",
        metavar="PATH",
        parser=given_place,
        help="Copy this gallery (a folder or a URL) to --out or --store, in the place of RUN SOURCE.",
        show_default=False,
    ),
]
StoreOption = Annotated[
    Any,
    typer.Option(
        "--store",
        metavar="STORE",
        parser=store_word,
        help="folder, lance, lance:URL, or postgresql://USER@HOST/DATABASE?gallery=NAME.",
    ),
]
Out = Annotated[Path | None, typer.Option(help="New folder for the gallery; none for PostgreSQL.")]
