"""Commands over several runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.show import look_at, print_next, prose, say, table, tell
from contrastive_cxr.cli.train import RecipeArgument, default_out

if TYPE_CHECKING:
    from contrastive_cxr.studies.sweep_points import Point, SweepSpec

Factors = Annotated[
    list[str],
    typer.Argument(
        metavar="KEY=A,B,C...",
        help="Settings with several values, and KEY=VALUE for all points. Lists in brackets: trainable=[a,b],[a],null.",
    ),
]


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Finished runs over the same images.")],
    against: Annotated[Path | None, typer.Option(help="Run that differences are taken to; default the first.")] = None,
    split: Annotated[
        str | None, typer.Option(help="The part all must have scored: train, val, test, or external-test.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for compare.json, compare.md and compare.html.")] = None,
) -> None:
    """Compare finished runs over the same images in one table.

    Scores, cost, settings that differ, and paired differences with intervals.
    """
    with terminal.Stages("comparing", 1, first="reading the runs"):
        from contrastive_cxr.studies.compare import compare as run_compare

        facts = run_compare(runs, against=against, split=split, out=out)
    if out is None or not terminal.is_quiet():
        print_comparison(facts)
    if out is not None:
        say(f"Table: {(out / 'compare.html').resolve()}")
    named = [*map(str, runs)]
    for option, value in (("--against", against), ("--split", split)):
        named += [option, str(value)] if value else []
    page = ("page", shlex.join(["ccxr", "compare", *named, "--out", "table"]))
    print_next(look_at(out / "compare.html") if out is not None else page)


def sweep(
    reference: RecipeArgument,
    words: Factors,
    out: Annotated[Path | None, typer.Option(help="Sweep folder to write; default runs/<recipe name>-sweep.")] = None,
    one_at_a_time: Annotated[
        bool, typer.Option("--one-at-a-time", help="Each factor alone, from the recipe's own settings; no grid.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(min=2, help="Run each point over N seeds and pool them.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every point, list them, train nothing.")] = False,
    wandb: Annotated[
        Path | None, typer.Option(help="Write a sweep definition for `wandb sweep FILE` instead; train nothing.")
    ] = None,
) -> None:
    """Run a recipe at several settings and compare them.

    The same command goes on where it was stopped.
    """
    from contrastive_cxr.studies.sweep_points import read_words

    read = read_words(words)
    from contrastive_cxr.studies.sweep_points import points_of

    points = points_of(reference, read, one_at_a_time=one_at_a_time)
    target = out or default_out(f"{points[0].recipe.name.rpartition('/')[0]}-sweep")
    if wandb is not None:
        return write_definition(wandb, reference, read, points, target, seeds, one_at_a_time)
    from contrastive_cxr.studies.sweep_folder import sweep_door

    sweep_door(points, target, seeds=seeds)
    with terminal.Stages("starting", 2, first="loading PyTorch"):
        from contrastive_cxr.studies.sweep import plan_points

        terminal.stage("checking the points")
        planned = plan_points(points, target, seeds, download=not dry_run)
    quiet = terminal.is_quiet() and not dry_run
    if not quiet:
        print_points(planned)
    if dry_run:
        options = [*(["--out", str(out)] if out else []), *(["--one-at-a-time"] if one_at_a_time else [])]
        options += ["--seeds", str(seeds)] if seeds else []
        return print_next(("train", shlex.join(["ccxr", "sweep", reference, *words, *options])))
    flags: dict[str, Any] = {"one_at_a_time": one_at_a_time, "seeds": seeds, "say": tell}
    from contrastive_cxr.studies.sweep import run_points

    facts = run_points(planned, target, reference, read, **flags)
    if not quiet:
        print_comparison(facts)
    say(f"Table: {(target / 'compare.html').resolve()}")
    print_next(look_at(target / "compare.html"))
    if facts["failed"]:
        raise typer.Exit(1)
    return None


def write_definition(
    file: Path, reference: str, words: SweepSpec, points: list[Point], out: Path, seeds: int | None, one_at_a_time: bool
) -> None:
    """Write the sweep for Weights & Biases, and say how it is started."""
    if one_at_a_time:
        raise typer.BadParameter("--wandb writes a grid; W&B knows no --one-at-a-time")
    from contrastive_cxr.studies.sweep_wandb import write_definition as run_write_definition

    run_write_definition(file, reference, words, points[0].recipe, out, seeds)
    say(f"{len(points) * (seeds or 1)} points: wandb sweep {file}, then the wandb agent command that it prints")


def print_points(planned: list[Any]) -> None:
    """The points and what each comes to."""
    rows: list[tuple[Any, ...]] = [
        (each.point.name, each.state, each.steps, each.images, each.trainable) for each in planned
    ]
    left = sum(each.steps for each in planned if each.state != "finished")
    title = f"{len(planned)} points, {left:,} steps in those that are not finished"
    table(title, ["point", "state", "steps", "image passes", "trained parameters"], rows)


def print_comparison(facts: dict[str, Any]) -> None:
    """The tables of a comparison, and its notes."""
    from contrastive_cxr.studies.compare import tables

    for each in tables(facts):
        table(each.title, list(each.columns), list(each.rows))
    for note in facts["notes"]:
        prose(note)
