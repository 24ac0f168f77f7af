"""Commands about images, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contrastive_cxr import experiment
from contrastive_cxr.cli.show import say, table

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at images before anything is trained.")


@app.callback()
def data() -> None:
    """Look at images before anything is trained."""


@app.command()
def look(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [data.KEY=VALUE]...",
            help="Folders of images (class folders, a table, COVID-CT) or a CSV table; and settings of data.",
        ),
    ],
    recipe: Annotated[
        str | None, typer.Option(help="Read SOURCE as this recipe's data section does, instead of guessing its layout.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for data-look.html and .json; default runs/look-<source name>.")
    ] = None,
) -> None:
    """The first look at data: counts, sizes, formats, contrast, patients, copies, unreadable files, examples."""
    settings = [word for word in words if word.startswith("data.") and "=" in word]
    places = [Path(word) for word in words if word not in settings]
    target = out or Path("runs") / f"look-{'-'.join(place.resolve().stem for place in places)[:80] or 'data'}"
    facts = experiment.call("look")(places, target, settings, recipe=recipe)
    print_look(facts)
    say(f"Page: {(target / 'data-look.html').resolve()}")


def print_look(facts: dict[str, object]) -> None:
    """The counts, and what a training would refuse."""
    for each in experiment.call("look_tables")(facts)[:2]:
        table(each.title, list(each.columns), list(each.rows))
    notes, faults = facts["notes"], facts["faults"]
    assert isinstance(notes, list), "facts are those of experiment.look"
    for note in notes[:20]:
        say(note)
    assert isinstance(faults, list), "facts are those of experiment.look"
    for fault in faults[:20]:
        say(f"a training would refuse: {fault}")
