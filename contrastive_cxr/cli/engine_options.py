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


def chosen(name: str, address: str | None) -> tuple[Engine, list[str]]:
    """The engine of the two options, and what is wrong with them: the words, or nothing answers at the address."""
    engine = Engine(name, address)
    faults = engine.faults()
    if faults or address is None:
        return engine, faults
    from contrastive_cxr.distributed import answering

    return engine, answering.faults(address)
