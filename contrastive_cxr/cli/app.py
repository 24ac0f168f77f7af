"""The commands' names and help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from contrastive_cxr import __version__, cores, terminal
from contrastive_cxr.cli.audit import audit
from contrastive_cxr.cli.data import app as data
from contrastive_cxr.cli.explain import explain
from contrastive_cxr.cli.explore import explore
from contrastive_cxr.cli.export import export
from contrastive_cxr.cli.gallery import index, search
from contrastive_cxr.cli.help import SETTINGS, Command, Commands
from contrastive_cxr.cli.info import doctor, recipes
from contrastive_cxr.cli.init import init
from contrastive_cxr.cli.resume import Resumable
from contrastive_cxr.cli.serve import serve
from contrastive_cxr.cli.study import compare, sweep
from contrastive_cxr.cli.train import embed, finetune, pretrain, quickstart, run
from contrastive_cxr.cli.use import card, encode, evaluate, predict

PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Start": (quickstart, init, doctor, recipes),
    "Train": (run, pretrain, embed, finetune),
    "Use a run": (evaluate, predict, encode, explain, export, serve, card),
    "Find similar cases": (index, search, explore),
    "Compare runs": (sweep, compare),
    "Look at data": (audit,),
}
app = typer.Typer(
    name="ccxr",
    cls=Commands,
    no_args_is_help=True,
    context_settings=SETTINGS,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich alone would double the time of --help
)


def print_version(wanted: bool) -> None:
    """Print the version and leave, where it is wanted."""
    if wanted:
        typer.echo(f"ccxr {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show debug messages too.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only warnings, errors and where the results are.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of networks and searches; default: all allowed cores.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Contrastive learning for chest imaging: pretrain, embed, finetune; similar cases; scores with intervals."""
    if verbose and quiet:
        raise typer.BadParameter("give --verbose or --quiet, not both")
    terminal.set_amount(quiet=quiet, verbose=verbose)
    cores.set_threads(threads)


for title, commands in PANELS.items():
    for command in commands:
        resumable = command in (run, pretrain, embed, finetune)
        app.command(cls=Resumable if resumable else Command, rich_help_panel=title)(command)
app.add_typer(data, name="data", rich_help_panel="Look at data")
