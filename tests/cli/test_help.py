"""What a command imports before it answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "pandas", "numpy", "pydantic", "yaml", "rich.markdown", "contrastive_cxr.recipe.schema")


def left_imported(*words: str) -> tuple[int, list[str]]:
    """Exit code of a command in a process of its own, and which of `HEAVY` it had imported at its end."""
    code = (
        "import sys, atexit\n"
        f"sys.argv = ['ccxr', *{list(words)!r}]\n"
        f"atexit.register(lambda: print('LEFT', *[n for n in {HEAVY!r} if n in sys.modules]))\n"
        "from contrastive_cxr.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()[-1].split()[1:]


def test_help_imports_nothing_heavy() -> None:
    assert left_imported("--help") == (0, [])


def test_a_wrong_recipe_is_refused_before_torch() -> None:
    code, left = left_imported("run", "nonsense")
    assert code == 2
    assert "torch" not in left


def test_wrong_data_is_refused_before_torch(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    code, left = left_imported(
        "run", "xray/three-class", f"data.root={tmp_path / 'images'}", "--out", f"{tmp_path}/out"
    )
    assert code == 2
    assert "pandas" in left
    assert "torch" not in left


@pytest.mark.parametrize(
    "command",
    ["run", "pretrain", "embed", "finetune", "evaluate", "predict", "encode", "index", "search", "explain", "recipes"],
)
def test_every_command_tells_its_options(ccxr: Callable[..., tuple[int, str, str]], command: str) -> None:
    code, said, _ = ccxr(command, "--help")
    assert code == 0
    assert f"{command} [OPTIONS]" in said


def test_the_help_tells_embed_from_encode(ccxr: Callable[..., tuple[int, str, str]]) -> None:
    for page in (("embed", "--help"), ("--help",)):
        assert "train the embedding (to use one: ccxr encode)" in " ".join(ccxr(*page)[1].split())


def test_recipes_are_listed_shown_and_copied(ccxr: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    assert "ct/three-phase" in ccxr("recipes")[1]
    assert "source: phantom" in ccxr("recipes", "show", "phantom")[1]
    copy = tmp_path / "mine.yaml"
    assert ccxr("recipes", "copy", "phantom", "--out", copy)[0] == 0
    assert "source: phantom" in copy.read_text()
    assert ccxr("recipes", "copy", "phantom", "--out", copy)[0] == 2


COMMANDS = [(), ("data",), ("data", "look"), ("data", "sets"), ("data", "sets", "show"), *((name,) for name in (
    "quickstart", "run", "pretrain", "embed", "finetune", "evaluate", "card", "predict", "encode", "index", "search",
    "explain", "export", "serve", "explore", "audit", "compare", "sweep", "recipes", "doctor", "init",
))]  # fmt: skip


@pytest.mark.parametrize("columns", [80, 120])
def test_help_ends_within_the_width_and_is_never_cut(
    ccxr: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in COMMANDS:
        code, said, _ = ccxr(*words, "--help")
        assert code == 0
        assert max(map(len, said.splitlines())) <= columns, words
        assert "<list" not in said


def test_commands_stand_in_groups_a_line_each(
    ccxr: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = ccxr("-h")[1].splitlines()
    assert {"Start:", "Train:", "Use a run:", "Find similar cases:", "Compare runs:", "Look at data:"} <= set(lines)
    listed = lines[lines.index("Start:") :]
    names = [line.split()[0] for line in listed if line.startswith("  ")]
    assert sorted(names) == sorted(words[0] for words in COMMANDS if len(words) == 1)
    assert not [line for line in listed if line.startswith(" " * 5) or line.endswith("...")]
