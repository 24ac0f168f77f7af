"""Commands that tell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contrastive_cxr.cli.show import say, table
from contrastive_cxr.errors import RequestError
from contrastive_cxr.files import write_bytes


def recipes(
    action: Annotated[str, typer.Argument(help="list, show or copy.")] = "list",
    name: Annotated[str | None, typer.Argument(help="A shipped recipe.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write (copy); default NAME.yaml here.")] = None,
) -> None:
    """List the shipped recipes; show one; copy one to change it."""
    from contrastive_cxr import shipped

    if action == "list":
        for known in shipped.names():
            first = shipped.path(known).read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
            say(f"{known:32} {first}")
        return
    if action not in {"show", "copy"} or name is None:
        raise RequestError(f"ccxr recipes {action}: use 'list', 'show NAME' or 'copy NAME'")
    text = shipped.path(name).read_text(encoding="utf-8")
    if action == "show":
        say(text)
        return
    target = out or Path(f"{name.replace('/', '-')}.yaml")
    if target.exists():
        raise RequestError(f"{target} exists; name another file with --out")
    write_bytes(target, text.encode())
    say(f"Copied to {target}")


def doctor() -> None:
    """Versions, device and cores: what to send with a bug report."""
    from contrastive_cxr.run.environment import environment

    table("Environment", ["what", "value"], [(key, str(value)) for key, value in environment().items()])
