"""Every command of every page: its options are there, its settings are a recipe's, what it installs or makes exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from contrastive_cxr import recipe as recipes
from contrastive_cxr import shipped
from contrastive_cxr.cli.app import app
from tests.docs.pages import ROOT, called, fenced_commands, pages, synopses

COMMANDS = [
    (page.relative_to(ROOT).as_posix(), command)
    for page in pages()
    for command in (*fenced_commands(page), *synopses(page))
]
CCXR = [(page, found) for page, command in COMMANDS if (found := called(command)) is not None]


def parsed(words: list[str]) -> Any:
    """The context of a command line, parsed and not run."""
    group: Any = typer.main.get_command(app)
    for place, word in enumerate(words):
        known = getattr(group, "commands", {})
        if word not in known:
            return group.make_context(" ".join(words[:place]), list(words[place:]))
        group = known[word]
    return group.make_context(" ".join(words), [])


def test_the_pages_have_commands() -> None:
    assert len(CCXR) > 100
    assert len({page for page, _ in CCXR}) > 20


@pytest.mark.parametrize("page", sorted({page for page, _ in CCXR}))
def test_the_options_of_a_page_are_there(page: str) -> None:
    for words in [found for name, found in CCXR if name == page]:
        context = parsed(words)
        left = [word for word in context.args if word.startswith("-")]
        assert not left, f"{page}: ccxr {' '.join(words)}"


@pytest.mark.parametrize("page", sorted({page for page, words in CCXR if words[0] == "run"}))
def test_the_settings_of_a_page_are_those_of_its_recipe(page: str) -> None:
    for words in [
        found for name, found in CCXR if name == page and found[0] in ("run", "pretrain", "embed", "finetune")
    ]:
        name = words[1] if words[1] in shipped.names() else "phantom"
        settings = [word for word in words[2:] if re.match(r"[a-z_]+(\.[a-z_0-9]+)*=", word)]
        settings = [
            re.sub(r"=(IMAGES|DIR|FOLDER|XRAY|TABLE|COVID-CT|VOLUMES|SLICES)$", "=images", word) for word in settings
        ]
        recipes.load(name, settings)


@pytest.mark.parametrize(("page", "command"), [each for each in COMMANDS if called(each[1]) is None], ids=str)
def test_what_another_program_is_called_for_is_there(page: str, command: list[str]) -> None:
    program, *words = command
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        asked = re.findall(r"\[(.+)\]", words[-1])
        assert set(",".join(asked).split(",")) <= set(extras)
    elif program in ("sbatch", "kubectl"):
        assert any(Path(ROOT / word).is_file() for word in words)
    else:
        assert program in ("source", "wandb"), f"{page}: nothing here knows what '{program}' is"
