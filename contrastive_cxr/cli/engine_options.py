"""The options that say which engine does the work."""

from __future__ import annotations

from typing import Annotated

import typer

from contrastive_cxr.spread import Engine

Name = Annotated[
    str, typer.Option("--engine", help="embedded: this process; ray: the workers of a Ray cluster (extra ray).")
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="A running Ray cluster: auto (that of this machine) or HOST:PORT; default one started here.",
    ),
]


def chosen(name: str, address: str | None) -> Engine:
    """The engine of the two options; `Engine.faults` says what is wrong with them."""
    return Engine(name, address)
