"""The command that answers over HTTP."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.gallery_options import GalleryBeside, RunOrGallery
from contrastive_cxr.cli.show import print_next, say, tell
from contrastive_cxr.cli.use import Device
from contrastive_cxr.data.files.store_urls import Place
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.preflight import given_paths

INSTALL = "pip install 'contrastive_cxr[serve]'"
NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
MIB = 2**20

ModelRun = Annotated[Path | None, typer.Option(help="Run of the gallery's model, where it has moved.")]
Host = Annotated[str, typer.Option(help="Address to listen at; any but this machine's own needs a token.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: one that is free.")]
TokenFile = Annotated[
    Path | None, typer.Option(help="File with the token that is demanded; default: the variable CCXR_TOKEN.")
]
LOCAL = "127.0.0.1"


def serve(
    place: RunOrGallery,
    gallery: GalleryBeside = None,
    run: ModelRun = None,
    host: Host = LOCAL,
    port: Port = 8000,
    token_file: TokenFile = None,
    max_file: Annotated[float, typer.Option(help="MiB of the largest file.")] = 64,
    max_request: Annotated[float, typer.Option(help="MiB of the largest request.")] = 128,
    max_pixels: Annotated[int, typer.Option(help="Pixels of the largest picture.")] = 2**25,
    max_files: Annotated[int, typer.Option(help="Files of a request.")] = 32,
    queue: Annotated[int, typer.Option(help="Requests that are inside at the same time; more get 503.")] = 512,
    rate: Annotated[float, typer.Option(help="Requests a second of a client, on average; 0: no limit.")] = 50,
    timeout: Annotated[float, typer.Option(help="Seconds until a request that is not answered gets 504.")] = 60,
    batch: Annotated[int, typer.Option(help="Images that pass through the network together.")] = 16,
    batch_wait: Annotated[float, typer.Option(help="Milliseconds that the first of them waits for others.")] = 5,
    proxy: Annotated[
        str, typer.Option(help="Addresses of reverse proxies, with commas, whose X-Forwarded-For is believed.")
    ] = "",
    device: Device = "cpu",
) -> None:
    """Answer over HTTP: predict, embed, search and explain images.

    A request's images stay in memory and are forgotten after the answer. Ctrl-C or SIGTERM finishes what was begun.
    """
    check_installed(NEEDED, "ccxr serve", INSTALL)
    from contrastive_cxr.preflight.data_checks import faults_of
    from contrastive_cxr.server import access, limits

    allowed = limits.Limits(
        file_bytes=round(max_file * MIB), request_bytes=round(max_request * MIB), pixels=max_pixels, files=max_files,
        held_bytes=max(limits.Limits.held_bytes, round(max_request * MIB)), requests=queue, rate=rate,
        answer_seconds=timeout, batch_images=batch, batch_seconds=batch_wait / 1000,
    )  # fmt: skip
    guarded: list[access.Access] = []
    faults = place_faults(place, gallery, run)
    faults += faults_of(lambda: guarded.append(access.access_for(host, token_file)))
    faults += faults_of(allowed.check)
    raise_faults(faults)
    with access.bound(host, port) as listening:
        address = at(host, listening.getsockname()[1])
        with terminal.Stages("serving", 1, first="loading the models"):
            from contrastive_cxr.inference.loaded import load
            from contrastive_cxr.server.app import build
            from contrastive_cxr.server.run import serve as answer

            app = build(load(place, gallery=gallery, run=run, device=device), allowed, guarded[0])
        say(f"Serving {', '.join('/' + name for name in app.state.service.answers)} at {address}")
        tell("Ctrl-C or SIGTERM ends it when what was begun is answered. For research; no medical device.")
        token = ' -H "Authorization: Bearer $CCXR_TOKEN"' if guarded[0].token else ""
        first = app.state.service.answers[0]
        print_next(("ask", f"curl{token} -F images=@IMAGE {shlex.quote(f'{address}/{first}')}"))
        answer(app, listening, allowed, proxy)
    say("Stopped: every request that was begun is answered.")


def check_installed(packages: Sequence[str], command: str, install: str) -> None:
    """Refuse where a package that a command needs is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise RequestError(f"{', '.join(missing)}: not installed, and {command} needs it; {install}")


def place_faults(place: Place, gallery: Place | None, run: Path | None, **written: Any) -> list[str]:
    """What is wrong with the folders of a command that serves; `written` as in `given_paths.check`."""
    from contrastive_cxr.preflight.data_checks import faults_of

    faults = faults_of(lambda: given_paths.check(place, gallery=gallery, **written))
    return faults if run is None else [*faults, *faults_of(lambda: given_paths.check(run))]


def at(host: str, port: int) -> str:
    """The address that a client asks."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
