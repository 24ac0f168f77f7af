"""The command that writes a first recipe for somebody's images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.data import parted
from contrastive_cxr.cli.show import prose, say
from contrastive_cxr.errors import RequestError


def init(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER|TABLE... [data.KEY=VALUE]...",
            help="Folders, archives, tables of images; settings of data that are known: data.columns.label=COLUMN.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Recipe to write; default NAME.yaml here, of the folder's name.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file in --out.")] = False,
) -> None:
    """Look at your images and write a recipe for them.

    Columns, classes, patients, split and a suitable start are guessed; each guess is told with its reason and stands as
    a comment in the recipe. Nothing is asked or trained.
    """
    places, settings = parted(words)
    if not places:
        raise RequestError("no images are given; name a folder, an archive or a table: ccxr init FOLDER")
    target = out or Path(f"{_stem(places[0])}.yaml")
    check(target, overwrite)
    with terminal.Stages("init", 1, first="reading folders and tables"):
        from contrastive_cxr.datasets.new_recipe.propose import propose
        from contrastive_cxr.files import write_bytes

        proposal = propose(places, settings, out=target)
    write_bytes(target, proposal.text.encode())
    if not terminal.is_quiet():
        for what, why in proposal.found:
            prose(f"{what:9} {why}")
        for note in proposal.notes[:20]:
            prose(f"note: {note}")
    for doubt in proposal.doubts:
        prose(f"check: {doubt}")
    say(f"Recipe: {target}")
    command = f"ccxr run {shlex.quote(str(target))}"
    say(f"Next: {command} --dry-run")
    say(f"Then: {command}{f' --folds {proposal.folds}' if proposal.folds else ''}")


def check(target: Path, overwrite: bool) -> None:
    """Refuse a target that is a folder, is there already, or is not named as a recipe."""
    if target.is_dir():
        raise RequestError(f"--out {target}: is a folder; name the recipe's file, such as {target / 'mine.yaml'}")
    if target.suffix not in (".yaml", ".yml"):
        raise RequestError(f"--out {target}: a recipe is a YAML file; end its name in .yaml")
    if target.exists() and not overwrite:
        raise RequestError(f"{target} exists; name another file with --out, or give --overwrite to replace it")


def _stem(place: Path | str) -> str:
    """The name of a folder or table without endings."""
    name = Path(place).resolve().name if isinstance(place, Path) else place.rstrip("/").rpartition("/")[2]
    return name.partition(".")[0] or "mine"
