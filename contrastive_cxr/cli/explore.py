"""The command that shows a gallery as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.gallery_options import GalleryBeside
from contrastive_cxr.cli.serve import (
    LOCAL,
    MIB,
    NEEDED,
    Host,
    ModelRun,
    Port,
    TokenFile,
    at,
    check_installed,
    place_faults,
)  # fmt: skip
from contrastive_cxr.cli.show import print_next, say, tell
from contrastive_cxr.cli.use import Device
from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.errors import raise_faults

INSTALL = "pip install 'contrastive_cxr[explore]'"
STAGES = 5


def explore(
    place: Annotated[Path, typer.Argument(metavar="GALLERY|RUN", help="A folder that ccxr index wrote, or a run.")],
    gallery: GalleryBeside = None,
    run: ModelRun = None,
    host: Host = LOCAL,
    port: Port = 8050,
    token_file: TokenFile = None,
    predict: Annotated[
        bool, typer.Option("--predict", help="Predict all cases first, not only those that the run scored.")
    ] = False,
    parquet: Annotated[
        Path | None, typer.Option(help="Write the map for embedding-atlas into this Parquet, and serve nothing.")
    ] = None,
    max_file: Annotated[float, typer.Option(help="MiB of the largest image that is dropped on the page.")] = 64,
    device: Device = "cpu",
) -> None:
    """Show the cases of a gallery or a run as a map in the browser.

    Look at cases and their neighbours, drop an image of your own, mark cases for relabelling. All of it stays on this
    machine.
    """
    require(parquet)
    from contrastive_cxr.preflight.data_checks import faults_of
    from contrastive_cxr.server import access, limits

    allowed = limits.Limits(file_bytes=round(max_file * MIB), rate=200, burst=2000, files=8)
    guarded: list[access.Access] = []
    ending = {} if parquet is None else {"out": parquet, "endings": (".parquet",)}
    faults = place_faults(place, gallery, run, **ending)
    if parquet is None:
        faults += faults_of(lambda: guarded.append(access.access_for(host, token_file)))
    faults += faults_of(allowed.check)
    raise_faults(faults)
    if parquet is not None:
        export(parquet, place, gallery, run, device, predict)
        return
    with access.bound(host, port) as listening:
        with terminal.Stages("exploring", STAGES, first="loading the models"):
            from contrastive_cxr.explore.served import application

            app = application(place, gallery, run, device, predict, allowed, guarded[0])
        from contrastive_cxr.server.run import serve as answer

        say(f"{len(app.state.explorer.gallery)} cases at {at(host, listening.getsockname()[1])}/")
        tell("Open it in a browser; Ctrl-C ends it. For research; no medical device.")
        answer(app, listening, allowed)
    say("Stopped.")


def export(file: Path, place: Path, gallery: Place | None, run: Path | None, device: str, predict: bool) -> None:
    """Write the Parquet."""
    with terminal.Stages("exploring", STAGES + 1, first="loading the models"):
        from contrastive_cxr.explore.served import explorer

        found = explorer(place, gallery, run, device, predict)
        terminal.stage("drawing the pictures")
        from contrastive_cxr.explore import atlas

        missing = atlas.write(file, found)
    say(f"{len(found.gallery)} cases: {file}")
    if missing:
        say(f"{missing} images cannot be read; their cases are there without a picture.")
    columns = "--x x --y y --neighbors neighbors --image image"
    print_next(("look", f"embedding-atlas {file} {columns}  (a package of its own)"))


def require(parquet: Path | None) -> None:
    """Refuse where a package of the extra `explore` is missing, or pyarrow where a Parquet is wanted."""
    if parquet is None:
        check_installed(NEEDED, "ccxr explore", INSTALL)
        return
    from contrastive_cxr.run import parquet as parquet_files

    parquet_files.require()
