"""The options of `ccxr search` for a study of a DICOMweb server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.show import say
from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.errors import raise_faults
from contrastive_cxr.preflight import given_paths

Dicomweb = Annotated[
    str | None, typer.Option(metavar="URL", help="Address of a DICOMweb server that has the images; with --study.")
]
Study = Annotated[str, typer.Option(metavar="UID", help="Study Instance UID of the study that is searched.")]
Series = Annotated[
    list[str] | None, typer.Option(metavar="UID", help="Series Instance UID to stay within; again for more of them.")
]
LoginFile = Annotated[
    Path | None,
    typer.Option(help="File with USER:PASSWORD or Bearer TOKEN; default: CCXR_DICOMWEB_USER and _PASSWORD, or _TOKEN."),
]
DicomOut = Annotated[Path | None, typer.Option(help="New folder for the result as DICOM files.")]
DicomAs = Annotated[str, typer.Option(help="sr: a structured report; sc: secondary captures, an image each; or both.")]
Store = Annotated[bool, typer.Option("--store", help="Store the result in the study on the same server (STOW-RS).")]
ONLY = {"series": "--series", "login": "--dicomweb-login", "out": "--dicom-out", "store": "--store"}


def check(url: str | None, study: str, given: Mapping[str, Any], images: Sequence[Path]) -> None:
    """Refuse options that do not go together.

    Raises
    ------
    RequestError
        Every fault.
    """
    if url is not None:
        names = " ".join(map(str, images[:3]))
        raise_faults([f"{names}: images and --dicomweb are both given; give the one or the other"] if images else [])
        return
    alone = [*(["--study"] if study else []), *(word for name, word in ONLY.items() if given[name])]
    alone += ["--dicom-as"] if given["kinds"] != "both" else []
    faults = [f"{word}: is for a study of a server; give --dicomweb URL too, or leave it out" for word in alone]
    if not images and not alone:
        faults.append("IMAGE: none is given; name images, or a study of a server: --dicomweb URL --study UID")
    raise_faults(faults)


def searched(
    gallery: Place, url: str, study: str, given: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Search a study, and say what was written of it.

    Raises
    ------
    RequestError
        What can be found before a library is loaded; then as of `dicomweb.search.search_study`.
    """
    from contrastive_cxr.dicomweb.request import StudyRequest, faults_in, login_of
    from contrastive_cxr.preflight.data_checks import faults_of

    login, faults = login_of(given["login"])
    request = StudyRequest(url, study, tuple(given["series"]), given["out"], given["kinds"], given["store"], login)
    faults = [*faults_of(lambda: given_paths.check(options["run"], gallery=gallery)), *faults_in(request), *faults]
    raise_faults(faults)
    with terminal.Stages("search", 6, first="loading PyTorch"):
        from contrastive_cxr.dicomweb.search import SearchSettings, search_study

        facts = search_study(gallery, request, SearchSettings(**options))
    if facts["dicom"]:
        say(f"DICOM: {len(facts['dicom'])} files of the study's patient: {given['out'].resolve()}")
    if facts["stored"]:
        say(f"Stored: {len(facts['stored'])} objects in study {study} at {url}")
    return facts
