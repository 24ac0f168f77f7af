"""The command that looks for copies, leaks and shortcuts."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli import engine_options
from contrastive_cxr.cli.show import look_at, print_findings, print_next, say, table
from contrastive_cxr.errors import raise_faults


def audit(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [KEY=VALUE]...",
            help="Folders of images (class folders, a table, COVID-CT), CSV tables, or one run; and settings of data, "
            "data.KEY=VALUE, or the task by whose classes copies are compared, task=NAME.",
        ),
    ],
    recipe: Annotated[
        str | None, typer.Option(help="Read SOURCE as this recipe's data section does, instead of guessing its layout.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A run whose embedding proposes pairs of copies too.")] = None,
    fix: Annotated[
        Path | None, typer.Option(help="CSV table to write, in which copies count as one patient, for a clean split.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for audit.json and .html; default runs/audit-<names>.")
    ] = None,
    engine: engine_options.Name = "embedded",
    address: engine_options.Address = None,
) -> None:
    """Look for copies, leaks and shortcuts before training.

    Copies are found turned, mirrored and cropped too; leaks are those between the parts of the split; shortcuts are
    what tells the label without the image's content.
    """
    worked, faults = engine_options.chosen(engine, address)
    raise_faults(faults)
    settings = [word for word in words if word.startswith(("data.", "task.", "task=")) and "=" in word]
    places = [Path(word) for word in words if word not in settings]
    target = out or Path("runs") / f"audit-{'-'.join(place.resolve().stem for place in places)[:80] or 'data'}"
    with terminal.Stages("audit", 7 + (2 if run else 0), first="loading the libraries"):
        from contrastive_cxr.datasets.audit import audit as audit_images

        facts = audit_images(places, target, settings, recipe=recipe, run=run, fix=fix, engine=worked)
    if not terminal.is_quiet():
        print_audit(facts)
    say(f"Page: {(target / 'audit.html').resolve()}")
    steps = [look_at(target / "audit.html")]
    of_run = len(places) == 1 and (places[0] / "recipe.yaml").is_file()
    if fix is None and recipe is None and not of_run:
        of_data = [word for word in settings if word.startswith("data.")]
        steps.append(("train", shlex.join(["ccxr", "init", *map(str, places), *of_data])))
    if fix is not None:
        steps.append(("train", f"ccxr run RECIPE {facts['fix']['settings']}"))
    print_next(*steps)


def print_audit(facts: dict[str, Any]) -> None:
    """Counts, the first groups, and the verdict."""
    from contrastive_cxr.datasets.audit import audit_tables

    for each in audit_tables(facts):
        table(each.title, list(each.columns), list(each.rows))
    say(f"Verdict: {facts['verdict']['word']}")
    print_findings(facts["verdict"], "" if "fix" in facts else facts["command"])
    if "fix" in facts:
        say(f"Written: {facts['fix']['file']}; read it with {facts['fix']['settings']}")
