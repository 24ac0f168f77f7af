"""The command that writes a run's model card again."""

from __future__ import annotations

from typing import Annotated

import typer

from contrastive_cxr.cli.show import say
from contrastive_cxr.cli.use import Run


def card(
    run: Run,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[card.KEY=VALUE]...", help="Texts, such as card.limits='adults only'."),
    ] = None,
) -> None:
    """Write a run's model card again, with texts that nobody can compute."""
    from contrastive_cxr.evaluation.model_card import write_card

    say(f"Model card: {write_card(run, words or []).resolve()}")
