"""The commands' names and help."""

from __future__ import annotations

import typer

from contrastive_cxr.cli import info, train, use

app = typer.Typer(
    name="ccxr",
    help="Contrastive learning for chest imaging: pretrain, embed, finetune; similar cases; scores with intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich alone would double the time of --help
)
app.command()(train.quickstart)
app.command()(train.run)
app.command()(train.pretrain)
app.command()(train.embed)
app.command()(train.finetune)
app.command()(use.evaluate)
app.command()(use.predict)
app.command()(use.encode)
app.command()(info.recipes)
app.command()(info.doctor)
