"""Commands about images, before any training."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.help import Command, Commands
from contrastive_cxr.cli.show import print_next, prose, say, table

WRITTEN = {"table": "the set's real table", "description": "its published description"}
SHOWN = 10  # files that cannot be read
app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look at images and tables before anything is trained.",
)


@app.callback()
def data() -> None:
    """Look at images and tables before anything is trained."""


@app.command(cls=Command)
def look(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [data.KEY=VALUE]...",
            help="Folders, archives, URLs of images (class folders, a table, COVID-CT), CSV tables; settings of data.",
        ),
    ],
    recipe: Annotated[
        str | None, typer.Option(help="Read SOURCE as this recipe's data section does, instead of guessing its layout.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for data-look.html and .json; default runs/look-<source name>.")
    ] = None,
) -> None:
    """Have a first look at images and their table.

    Counts, sizes, formats, contrast, patients, copies, unreadable files, and examples on a page.
    """
    places, settings = parted(words)
    stems = [Path(place).resolve().stem for place in places]
    target = out or Path("runs") / f"look-{'-'.join(stems)[:80] or 'data'}"
    with terminal.Stages("look", 1, first="reading folders and tables"):
        from contrastive_cxr.datasets.look import look as look_images

        facts = look_images(places, target, settings, recipe=recipe)
    if not terminal.is_quiet():
        print_look(facts)
    say(f"Page: {(target / 'data-look.html').resolve()}")
    named = shlex.join([*map(str, places), *settings])
    if recipe is None:
        print_next(("audit", f"ccxr audit {named}"), ("recipe", f"ccxr init {named}"))
    else:
        print_next(("audit", f"ccxr audit {named} --recipe {shlex.quote(recipe)}"))


@app.command(cls=Command)
def pack(
    reference: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe file, or a shipped name (ccxr recipes).")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as data.root=DIR.")
    ] = None,
    out: Annotated[Path, typer.Option(help="New folder for the shards, or one that this command began.")] = Path(
        "shards"
    ),
    shard_images: Annotated[int, typer.Option(min=1, help="Images of a shard, a file of Parquet.")] = 1024,
) -> None:
    """Pack a recipe's decoded images into shards.

    They are read from their beginning to their end: for network disks and object stores, with data.shards=FOLDER.
    """
    with terminal.Stages("pack", 1, first="reading the recipe"):
        from contrastive_cxr import recipe as recipes

        recipe = recipes.load(reference, overrides or [])
        from contrastive_cxr.data.shards import pack as packing
        from contrastive_cxr.space import size_words

        done = packing.pack(recipe.data, recipe.task, out, shard_images=shard_images)
    new = "" if done.written == done.shards else f", {done.written} of them new"
    say(f"Packed: {done.images:,} images in {done.shards:,} shards{new}, {size_words(done.bytes)}: {out.resolve()}")
    words = [reference, *(overrides or []), f"data.shards={out}"]
    print_next(("train", f"ccxr run {shlex.join(words)}"))


sets = typer.Typer(
    cls=Commands,
    invoke_without_command=True,
    rich_markup_mode=None,
    help="List the public sets that data.source=NAME reads.",
)
app.add_typer(sets, name="sets")


@sets.callback()
def list_sets(context: typer.Context) -> None:
    """List the public sets that data.source=NAME reads."""
    if context.invoked_subcommand is not None:
        return
    from contrastive_cxr.recipe import public_sets

    pages = {name: public_sets.page(name) for name in public_sets.names()}
    rows = [(name, page.title, page.kind, WRITTEN[page.read]) for name, page in pages.items()]
    table("Public sets", ["data.source", "set", "images", "page written from"], rows, whole=1)
    say("ccxr data sets show NAME says where a set is had, its terms, its layout and its traps.")


@sets.command("show", cls=Command)
def show_set(name: Annotated[str, typer.Argument(help="A set of ccxr data sets.")]) -> None:
    """Tell of a set: where it is had, terms, layout, traps, settings."""
    from contrastive_cxr.recipe import public_sets
    from contrastive_cxr.recipe.text import yaml_text

    page = public_sets.page(name)
    say(f"{page.title} ({page.kind}); this page was written from {WRITTEN[page.read]}.")
    prose(f"Checked against: {page.checked}")
    for title, text in (("Where", page.where), ("Terms", page.terms), ("Layout", page.layout)):
        prose(f"{title}: {text}.")
    say("Traps:")
    for trap in page.traps:
        prose(f"  - {trap}")
    say(f"Settings of data.source={name}, each of which may be given anew:\n{yaml_text.write(page.data)}")
    for task in page.tasks:
        say(f"Task: task={name}/{task}\n{yaml_text.write(page.tasks[task])}")
    first = f" task={name}/{next(iter(page.tasks))}" if page.tasks else ""
    say(f"Try: ccxr data look FOLDER data.source={name}")
    say(f"Then: ccxr run RECIPE data.source={name} data.root=FOLDER{first}")


def print_look(facts: dict[str, object]) -> None:
    """The counts, and what a training would refuse."""
    from contrastive_cxr.datasets.look import look_tables

    for each in look_tables(facts)[:2]:
        table(each.title, list(each.columns), list(each.rows))
    notes, faults = facts["notes"], facts["faults"]
    assert isinstance(notes, list), "facts are those of datasets.look"
    for note in notes[:20]:
        prose(note)
    assert isinstance(faults, list), "facts are those of datasets.look"
    print_unreadable(facts["unreadable"])
    grey = facts["grey"]
    assert isinstance(grey, dict), "facts are those of datasets.look"
    for line in [*grey["words"], *([f"warning: {grey['warning']}"] if grey["warning"] else [])]:
        prose(line)
    for fault in faults[:20]:
        prose(f"a training would refuse: {fault}")


def print_unreadable(found: Any) -> None:
    """The first files that cannot be read, each with its reason; what is missing is a fault of the rows."""
    listed = [each for each in found["listed"] if each["error"] != "does not exist"]
    for each in listed[:SHOWN]:
        say(f"cannot be read: {each['path']} {each['error']}")
    if len(listed) > SHOWN:
        say(f"cannot be read: {found['count'] - SHOWN:,} more files; the page lists them with their reasons")


def parted(words: list[str]) -> tuple[list[Path | str], list[str]]:
    """The places of images (a URL stays text) and the settings of data (`data.key=value`) among a command's words."""
    settings = [word for word in words if word.startswith("data.") and "=" in word]
    return [word if "://" in word else Path(word) for word in words if word not in settings], settings
