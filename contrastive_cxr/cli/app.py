"""The commands' names and help."""

from __future__ import annotations

import typer

from contrastive_cxr.cli.audit import audit
from contrastive_cxr.cli.card import card
from contrastive_cxr.cli.data import app as data
from contrastive_cxr.cli.explain import explain
from contrastive_cxr.cli.gallery import index, search
from contrastive_cxr.cli.info import doctor, recipes
from contrastive_cxr.cli.resume import Resumable
from contrastive_cxr.cli.study import compare, sweep
from contrastive_cxr.cli.train import embed, finetune, pretrain, quickstart, run
from contrastive_cxr.cli.use import encode, evaluate, predict

app = typer.Typer(
    name="ccxr",
    help="Contrastive learning for chest imaging: pretrain, embed, finetune; similar cases; scores with intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich alone would double the time of --help
)
for command in (
    quickstart, run, pretrain, embed, finetune, evaluate, card, predict, encode, index, search, explain,
    audit, compare, sweep, recipes, doctor,
):  # fmt: skip
    app.command(cls=Resumable if command in (run, pretrain, embed, finetune) else None)(command)
app.add_typer(data, name="data")
