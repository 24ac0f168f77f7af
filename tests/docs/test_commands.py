"""Every command of every page: its options are there, its settings are a recipe's, what it installs or makes exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from contrastive_cxr import recipe as recipes
from contrastive_cxr import shipped
from contrastive_cxr.cli.app import app
from tests.docs.pages import FENCE, ROOT, called, fenced_commands, pages, synopses

COMMANDS = [
    (page.relative_to(ROOT).as_posix(), command)
    for page in pages()
    for command in (*fenced_commands(page), *synopses(page))
]
CCXR = [(page, found) for page, command in COMMANDS if (found := called(command)) is not None]


def parsed(command: list[str]) -> Any:
    """The context of a command line, parsed and not run."""
    group: Any = typer.main.get_command(app)
    for place, word in enumerate(command):
        known = getattr(group, "commands", {})
        if word not in known:
            return group.make_context(" ".join(command[:place]), list(command[place:]))
        group = known[word]
    return group.make_context(" ".join(command), [])


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
    elif program == "sbatch":
        script = next(word for word in words if word.endswith(".sh"))
        assert subprocess.run(["bash", "-n", script], cwd=ROOT, check=False).returncode == 0
        parsed(words[words.index(script) + 1 :])  # the script passes them on to ccxr
    elif program == "kubectl":
        (file,) = [word for word in words if word.endswith(".yaml")]
        assert all(each["kind"] for each in yaml.safe_load_all((ROOT / file).read_text()))
    elif program == "python":
        check_module(words)
    else:
        assert program in ("source", "tensorboard", "wandb"), f"{page}: nothing here knows what '{program}' is"


def check_module(words: list[str]) -> None:
    """`-m benchmarks.NAME`: the file is there, and its parser, or the one of all benchmarks, has the options."""
    assert words[0] == "-m"
    file = ROOT.joinpath(*words[1].split(".")).with_suffix(".py")
    source = file.read_text() + (ROOT / "benchmarks" / "record.py").read_text()
    for word in words[2:]:
        assert not word.startswith("-") or f'"{word}"' in source, f"{words[1]} has no {word}"


def unknown_options(command: list[str]) -> list[str]:
    """Options that the command does not have; a missing argument, also of an option, is no fault here."""
    try:
        return [word for word in parsed(command).args if word.startswith("-")]
    except Exception as error:  # typer brings a click of its own, or uses the installed one
        if type(error).__name__ not in ("MissingParameter", "BadOptionUsage"):
            raise
        return []


def code(page: Path) -> list[str]:
    """The code words within the sentences and tables of a page, of one line each."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_sentence_calls_is_there(page: Path) -> None:
    """Commands that stand in a sentence, often shortened: the command and its options are there."""
    for text in code(page):
        command = re.match(r"(ccxr [a-z]|python -m benchmarks)", text) and shlex.split(text, comments=True)
        if command and command[0] == "python":
            check_module(command[1:])
        elif command and "..." not in command:
            assert not unknown_options(command[1:]), text
